package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/module"
)

// check returns why the tree must not be tagged as the version, a line for each
// reason. The error is for what could not be looked at.
func check(root, version string) (problems []string, err error) {
	if err := module.Check(core, version); err != nil || module.CanonicalVersion(version) != version {
		return []string{fmt.Sprintf("%q is no version of %s: want one like v0.1.0 or v1.2.3-rc.1", version, core)}, nil
	}
	all, err := trees(root)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		problems = append(problems, t.problems(root, version)...)
	}
	text, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return nil, err
	}
	problems = append(problems, changes(string(text), version)...)
	repository, err := uncommitted(root, version)
	return append(problems, repository...), err
}

// problems are those of a module, wherever in the tree it is: what is not
// published follows the same rules, so that it can be, and is tested with the core
// that users get.
func (t tree) problems(root, version string) (problems []string) {
	add := func(format string, args ...any) {
		problems = append(problems, path.Join(t.dir, "go.mod")+": "+fmt.Sprintf(format, args...))
	}
	if want := path.Join(core, t.dir); t.mod.Module.Mod.Path != want {
		add("the module is %s, and not %s, which is where it lies", t.mod.Module.Mod.Path, want)
	}
	for _, r := range t.mod.Replace {
		add("it replaces %s, which the builds of users ignore: go.work is the place for that", r.Old.Path)
	}
	if got := t.requires(); got != "" && got != version {
		add("it requires the core's %s: go mod edit -require=%s@%s", got, core, version)
	}
	if err := t.zip(root, version); err != nil {
		add("it cannot be published: %v", err)
	}
	return problems
}

// zip makes the module's zip, as a proxy does, and throws it away.
func (t tree) zip(root, version string) error {
	return zipTo(io.Discard, filepath.Join(root, t.dir), module.Version{Path: path.Join(core, t.dir), Version: version})
}

var heading = regexp.MustCompile(`(?m)^## .*$`)

// changes are the problems of the changelog: the version must have a section, with
// its date, and nothing be left unreleased.
func changes(text, version string) (problems []string) {
	want := regexp.MustCompile(`^## \[?` + regexp.QuoteMeta(strings.TrimPrefix(version, "v")) + `\]? - \d{4}-\d\d-\d\d$`)
	found := false
	for _, at := range heading.FindAllStringIndex(text, -1) {
		section, _, _ := strings.Cut(text[at[1]:], "\n## ")
		switch title := text[at[0]:at[1]]; {
		case want.MatchString(title):
			found = strings.TrimSpace(section) != ""
		case strings.Contains(title, "Unreleased") && strings.TrimSpace(section) != "":
			problems = append(problems, "CHANGELOG.md: there is something under Unreleased: give it the version, or leave it out")
		}
	}
	if !found {
		problems = append(problems, fmt.Sprintf("CHANGELOG.md: there is no section %q that says something", "## "+strings.TrimPrefix(version, "v")+" - YYYY-MM-DD"))
	}
	return problems
}

// uncommitted are the problems of the repository: what is tagged is what is
// committed, and a tag is set once, since proxies keep what they have seen.
func uncommitted(root, version string) (problems []string, err error) {
	status, err := git(root, "status", "--porcelain")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(status) {
		problems = append(problems, "git: not committed: "+strings.TrimSpace(line))
	}
	for _, dir := range published {
		exists, err := git(root, "tag", "--list", tag(dir, version))
		if err != nil {
			return nil, err
		}
		if exists != "" {
			problems = append(problems, fmt.Sprintf("git: there is a tag %s already", tag(dir, version)))
		}
	}
	return problems, nil
}

func git(root string, args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"-C", root}, args...)...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", args[0], err, strings.TrimSpace(said.String()))
	}
	return string(out), nil
}
