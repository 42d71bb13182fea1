package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// explained are the pages that lead a reader through the code, from this folder.
var explained = []string{"design.md", "internals.md", "measurements.md", "checks.md", "../CONTRIBUTING.md"}

// named is a file that a page names: in backticks, of a kind that only the tree has.
var named = regexp.MustCompile("`([A-Za-z0-9_./*-]+\\.(?:go|lua|sh|css|html))`")

// Every source file that the design names is where it says.
func TestNamedFilesExist(t *testing.T) {
	found := 0
	for _, page := range explained {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range missingFiles(t, string(text), &found) {
			t.Errorf("%s: %s", page, problem)
		}
	}
	if found < 30 {
		t.Errorf("only %d files are named: the pattern misses them", found)
	}
}

// A file that is not there is found, and one without its folder.
func TestAMissingFileIsFound(t *testing.T) {
	found := 0
	problems := missingFiles(t, "see `engine/acquire.go`, `engine/nowhere.go`, `engine/model_*_test.go` and `ballot.go`", &found)
	want := []string{"engine/nowhere.go does not exist", "ballot.go has no folder: write it from the root of the repository"}
	if !slices.Equal(problems, want) || found != 4 {
		t.Errorf("got %q of %d, want %q of 4", problems, found, want)
	}
}

func missingFiles(t *testing.T, text string, found *int) (problems []string) {
	t.Helper()
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		*found++
		there, err := filepath.Glob(filepath.Join("..", m[1]))
		switch {
		case err != nil:
			t.Fatalf("look for %s: %v", m[1], err)
		case !strings.Contains(m[1], "/"):
			problems = append(problems, m[1]+" has no folder: write it from the root of the repository")
		case len(there) == 0:
			problems = append(problems, m[1]+" does not exist")
		}
	}
	return problems
}

var (
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code    = regexp.MustCompile("(?ms)^ *```.*?^ *```$")
)

// Every link from page to page leads to a file, and to a heading of it.
func TestLinksLead(t *testing.T) {
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	above, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, above...) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if problem := lost(t, page, m[1]); problem != "" {
				t.Errorf("%s: %s", page, problem)
			}
		}
	}
}

// A link that leads nowhere is found.
func TestALostLinkIsFound(t *testing.T) {
	for to, want := range map[string]string{
		"design.md#order":              "",
		"#fences":                      "",
		"https://example.com/x":        "",
		"../README.md#measured":        "",
		"nowhere.md":                   "nowhere.md does not exist",
		"design.md#nowhere":            "design.md has no heading #nowhere",
		"cli.md#--audit-who-had-it":    "cli.md has no heading #--audit-who-had-it",
		"monitoring.md#holdfastuntold": "",
	} {
		if got := lost(t, "internals.md", to); got != want {
			t.Errorf("%s: got %q, want %q", to, got, want)
		}
	}
}

// lost says what is wrong with a link on a page; "" if nothing is.
func lost(t *testing.T, page, to string) string {
	t.Helper()
	if strings.Contains(to, "://") {
		return ""
	}
	file, anchor, _ := strings.Cut(to, "#")
	target := filepath.Join(filepath.Dir(page), file)
	if file == "" {
		target = page
	}
	if _, err := os.Stat(target); err != nil {
		return file + " does not exist"
	}
	if anchor != "" && !slices.Contains(anchors(read(t, target)), anchor) {
		return file + " has no heading #" + anchor
	}
	return ""
}

// anchors are the headings of a page, as links write them.
func anchors(text string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		var b strings.Builder
		for _, r := range strings.ToLower(m[1]) {
			switch {
			case r == ' ':
				b.WriteByte('-')
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				b.WriteRune(r)
			}
		}
		all = append(all, b.String())
	}
	return all
}

// read returns a page without its blocks of code.
func read(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return code.ReplaceAllString(string(text), "")
}
