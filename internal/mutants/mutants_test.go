package mutants

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

var catch = flag.Bool("catch", false, "run the checkers on every mutant: a minute or two")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEveryMutantFitsTheCode: the text to be found is there, once.
func TestEveryMutantFitsTheCode(t *testing.T) {
	for _, m := range table {
		for file, text := range m.plant(t) {
			if text == read(t, file) {
				t.Errorf("%s: %s is as before", m.name, file)
			}
		}
	}
}

// TestEveryMutantIsCaught runs two at a time.
func TestEveryMutantIsCaught(t *testing.T) {
	if !*catch {
		t.Skip("takes a minute or two, and is not for the race detector: make mutants")
	}
	slots := make(chan struct{}, 2)
	for _, m := range table {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			begun := time.Now()
			complaint := m.try(t)
			t.Logf("caught in %v: %s", time.Since(begun).Round(100*time.Millisecond), complaint)
		})
	}
}

const root = "../.."

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plant returns the mutated files.
func (m mutant) plant(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, e := range m.edits {
		if _, ok := files[e.file]; !ok {
			files[e.file] = read(t, e.file)
		}
		if n := strings.Count(files[e.file], e.old); n != 1 {
			t.Fatalf("%s: %s has this %d times: the code has changed, and the mutant must be planted anew:\n%s", m.name, e.file, n, e.old)
		}
		files[e.file] = strings.Replace(files[e.file], e.old, e.new, 1)
	}
	return files
}

// overlay writes the mutated files, and what tells go to take them.
func (m mutant) overlay(t *testing.T) (path string) {
	t.Helper()
	dir := t.TempDir()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	for file, text := range m.plant(t) {
		real, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		mutated := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[real] = mutated
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// complaint is what is printed of a seed that a checker complains about, and
// failure of a test.
var (
	complaint = regexp.MustCompile(`seed \d+: .*\n\s*COMPLAINT at .*`)
	failure   = regexp.MustCompile(`--- FAIL: .*\n\s*\w+_test\.go:.*`)
)

func goTest(t *testing.T, args ...string) (out []byte, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-vet=off", "-ldflags=-s -w"}, args...)...)
	cmd.Dir = root
	return cmd.CombinedOutput()
}

// healthy runs the tests that mutants of a package name, without any mutant: all in
// one, once. It returns what went wrong.
func healthy(t *testing.T, in string) (complaint string) {
	once.Lock()
	run := passes[in]
	if run == nil {
		var names []string
		for _, m := range table {
			if m.test != "" && m.in == in && !slices.Contains(names, m.test) {
				names = append(names, m.test)
			}
		}
		run = sync.OnceValue(func() string {
			out, err := goTest(t, "./"+in, "-run", "^("+strings.Join(names, "|")+")$")
			if err != nil {
				return fmt.Sprintf("%v\n%s", err, out)
			}
			return ""
		})
		passes[in] = run
	}
	once.Unlock()
	return run()
}

var (
	once   sync.Mutex
	passes = make(map[string]func() string) // by package
)

// try runs the checkers on the mutant until one complains, and returns what it
// says.
func (m mutant) try(t *testing.T) string {
	t.Helper()
	run, says := []string{"-parallel", "1", "./internal/trial", "-stop", "-run", "TestSeeds$", "-seeds", "1000"}, complaint
	switch {
	case m.lua:
		run = []string{"-parallel", "1", "./internal/trial", "-stop", "-run", "TestSeedsOnMiniredis$", "-seeds", "800", "-simulated", "2m"}
	case m.test != "":
		run, says = []string{"./" + m.in, "-run", "^" + m.test + "$"}, failure
	}
	if m.test != "" {
		if complaint := healthy(t, m.in); complaint != "" {
			t.Fatalf("the tests of ./%s must pass without a mutant: %s", m.in, complaint)
		}
	}
	out, err := goTest(t, append([]string{"-overlay", m.overlay(t)}, run...)...)
	found := says.Find(out)
	switch {
	case err == nil:
		t.Fatalf("not caught:\n%s", out)
	case found == nil:
		t.Fatalf("it failed, but no checker complained: %v\n%s", err, out[:min(len(out), 4000)])
	}
	who, what, _ := strings.Cut(strings.TrimPrefix(string(found), "--- FAIL: "), "\n")
	who, _, _ = strings.Cut(who, ":")
	return who + ", " + strings.TrimSpace(what)
}
