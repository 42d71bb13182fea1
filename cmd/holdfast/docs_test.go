//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

// Each command of docs/cli.md runs, and prints what stands under it, where "…"
// is anything.
func TestDocs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "report.sh"), []byte("#!/bin/sh\necho the report is written\n"), 0o700); err != nil {
		t.Fatalf("os.WriteFile: %v", err)
	}
	servers := redistest.StartN(t, 3)
	ran := 0
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(strings.TrimSuffix(step, "\n"), "\n")
			cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GORACE="+quickExit, environment+"="+strings.Join(redistest.URLs(servers), " "), firstDeployment+"=1")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
			pattern := "(?s)^" + columns.ReplaceAllString(strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*"), "  +") + "\n$"
			if !regexp.MustCompile(pattern).Match(out) {
				t.Errorf("%s\nprinted\n%s\nbut docs/cli.md has\n%s", command, out, want)
			}
			ran++
		}
	}
	if ran < 15 {
		t.Errorf("%d commands: the blocks are not found", ran)
	}
}

// columns are as far apart as what stands in them is short: 9.9s is padded more than 9.932s.
var columns = regexp.MustCompile("  +")

// Every command, and every exit code, is in docs/cli.md and in the help.
func TestDocsAreComplete(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	for _, c := range commands() {
		if !strings.Contains(string(text), "holdfast "+c.name) {
			t.Errorf("docs/cli.md does not mention %s", c.name)
		}
		var help strings.Builder
		if err := c.help(&help); err != nil {
			t.Errorf("c.help: %v", err)
		}
		for n, line := range strings.Split(help.String(), "\n") {
			if len(line) > 90 || strings.HasSuffix(line, " ") {
				t.Errorf("help of %s, line %d: %q", c.name, n+1, line)
			}
		}
	}
	for _, code := range []string{"64", "69", "70", "75", "78", "126", "127"} {
		if !strings.Contains(string(text), code) || !strings.Contains(topics["exit-codes"].text, code) {
			t.Errorf("exit code %s is not explained", code)
		}
	}
}
