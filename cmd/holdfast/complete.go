package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// completing is the command that the scripts call: it prints the words that may
// stand in the place of the last one, each with a tab and an explanation, or
// anyCommand.
const completing = "__complete"

// anyCommand says that any program of the system may stand there.
const anyCommand = "!command"

//go:embed completion
var completionScripts embed.FS

var completionRow = command{
	name:  "completion",
	args:  "bash | zsh | fish",
	short: "print a script that completes holdfast's words in a shell",
	rest:  "shell",
	make:  func() action { return completionAction{} },
	long: `For this session, or for all in a file that the shell reads when it starts:

  bash  source <(holdfast completion bash)
  zsh   source <(holdfast completion zsh)      after compinit
  fish  holdfast completion fish | source`,
}

type completionAction struct{}

func (completionAction) flags(*flag.FlagSet) {}

func (completionAction) run(_ context.Context, args arguments) error {
	words := args.all()
	if len(words) != 1 {
		return usage("name the shell: bash, zsh or fish")
	}
	script, err := completionScripts.ReadFile("completion/holdfast." + words[0])
	if err != nil {
		return usage("that shell is not known: bash, zsh or fish")
	}
	_, err = os.Stdout.Write(script)
	return err
}

// complete prints what may stand in the place of the last of the words.
func complete(w io.Writer, words []string) error {
	if len(words) == 0 {
		return nil
	}
	current := words[len(words)-1]
	for _, c := range candidates(words) {
		if strings.HasPrefix(c, current) || c == anyCommand {
			if _, err := fmt.Fprintln(w, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func candidates(words []string) (all []string) {
	before, current := words[:len(words)-1], words[len(words)-1]
	if len(before) == 0 {
		for _, c := range commands() {
			all = append(all, c.name+"\t"+c.short)
		}
		return all
	}
	c, known := find(before[0])
	if !known {
		return nil
	}
	fs := newFlagSet(c.name, c.make())
	for n, word := range before {
		if word == "--" {
			if c.rest == "command" && n == len(before)-1 {
				return []string{anyCommand}
			}
			return nil
		}
	}
	if f := fs.Lookup(strings.TrimLeft(before[len(before)-1], "-")); f != nil && strings.HasPrefix(before[len(before)-1], "-") && !isBool(f) {
		if _, ok := f.Value.(*guardFlag); ok {
			return []string{"adaptive", "strict", "off"}
		}
		return nil
	}
	if strings.HasPrefix(current, "-") {
		fs.VisitAll(func(f *flag.Flag) {
			_, text := flag.UnquoteUsage(f)
			all = append(all, dashed(f)+"\t"+text)
		})
		return all
	}
	return c.words()
}

// words are what the arguments of a command may be, as far as that is known.
func (c command) words() (all []string) {
	switch c.rest {
	case "shell":
		return []string{"bash", "zsh", "fish"}
	case "topic":
		for _, c := range commands() {
			all = append(all, c.name+"\t"+c.short)
		}
		for _, name := range topicNames() {
			all = append(all, name+"\t"+topics[name].short)
		}
	}
	return all
}

// dashed is a flag as it is written.
func dashed(f *flag.Flag) string {
	if len(f.Name) == 1 {
		return "-" + f.Name
	}
	return "--" + f.Name
}
