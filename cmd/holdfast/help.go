package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

var helpRow = command{
	name:  "help",
	args:  "[COMMAND | TOPIC]",
	short: "explain a command or a topic",
	rest:  "topic",
	make:  func() action { return helpAction{} },
	long:  "Without a word it lists the commands and the topics.",
}

type helpAction struct{}

func (helpAction) flags(*flag.FlagSet) {}

func (helpAction) run(_ context.Context, args arguments) error {
	switch words := args.all(); len(words) {
	case 0:
		return printHelp(os.Stdout, "")
	case 1:
		return printHelp(os.Stdout, words[0])
	}
	return usage("name one word at most: a command or a topic")
}

// printHelp explains a command or a topic; "" is all of it.
func printHelp(w io.Writer, about string) error {
	if about == "" {
		return overview(w)
	}
	if c, ok := find(about); ok {
		return c.help(w)
	}
	if t, ok := topics[about]; ok {
		_, err := fmt.Fprintf(w, "%s\n", t.text)
		return err
	}
	return usage("there is no help%s; `holdfast help` lists the commands and topics", strings.Replace(quoted(about), " as", " for", 1))
}

func overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Holdfast runs commands under distributed locks on Redis, and shows, frees and checks\nthose locks.\n\nUsage:\n  holdfast COMMAND [flags] [arguments]\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-11s %s\n", c.name, c.short)
	}
	b.WriteString("\nTopics:\n")
	for _, name := range topicNames() {
		fmt.Fprintf(&b, "  %-11s %s\n", name, topics[name].short)
	}
	b.WriteString("\nExamples:\n" + examples + "\n`holdfast help WORD` explains a command or a topic; `holdfast --version` prints the version.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

const examples = `  export HOLDFAST_REDIS="redis://redis-1:6379 redis://redis-2:6379 redis://redis-3:6379"
  holdfast doctor
  holdfast run nightly-report -- ./report.sh
  holdfast status nightly-report
`

// help is all there is to know of one command.
func (c command) help(w io.Writer) error {
	var own, common strings.Builder
	newFlagSet(c.name, c.make()).VisitAll(func(f *flag.Flag) {
		if slices.Contains(shared, f.Name) {
			describe(&common, f)
		} else {
			describe(&own, f)
		}
	})
	var b strings.Builder
	fmt.Fprintf(&b, "holdfast %s: %s\n\nUsage:\n  holdfast %s", c.name, c.short, c.name)
	if own.Len()+common.Len() > 0 {
		b.WriteString(" [flags]")
	}
	fmt.Fprintf(&b, " %s\n\n%s\n", c.args, c.long)
	if own.Len() > 0 {
		fmt.Fprintf(&b, "\nFlags:\n%s", own.String())
	}
	if common.Len() > 0 {
		fmt.Fprintf(&b, "\nFlags of all commands that talk to Redis (see `holdfast help instances`):\n%s", common.String())
	}
	_, err := io.WriteString(w, strings.ReplaceAll(b.String(), " \n", "\n"))
	return err
}

// describe is one flag in one paragraph: how it is written, what it does, and
// what it is by default, where its text does not say so.
func describe(b *strings.Builder, f *flag.Flag) {
	value, text := flag.UnquoteUsage(f)
	head := dashed(f)
	if value != "" && !isBool(f) {
		head += " " + strings.ToUpper(value)
	}
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" && !strings.Contains(text, "Default:") {
		text += ". Default: " + f.DefValue
	}
	lines := wrap(text, 62)
	fmt.Fprintf(b, "  %-18s %s\n", head, lines[0])
	for _, line := range lines[1:] {
		fmt.Fprintf(b, "  %-18s %s\n", "", line)
	}
}

func isBool(f *flag.Flag) bool {
	b, ok := f.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

// wrap breaks a text into lines of at most width characters, as far as its words do.
func wrap(text string, width int) []string {
	lines := []string{""}
	for _, word := range strings.Fields(text) {
		line := &lines[len(lines)-1]
		switch {
		case *line == "":
			*line = word
		case len(*line)+1+len(word) <= width:
			*line += " " + word
		default:
			lines = append(lines, word)
		}
	}
	return lines
}
