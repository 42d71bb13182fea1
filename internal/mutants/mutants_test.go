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
	"strconv"
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

// TestEveryMutantIsCaught runs six at a time: most of their time they wait, for servers and for what does not come.
func TestEveryMutantIsCaught(t *testing.T) {
	if !*catch {
		t.Skip("takes a minute or two, and is not for the race detector: make mutants")
	}
	files, woven := weave(t)
	p := newPrograms(t, files)
	slots := make(chan struct{}, 6)
	for i, m := range table {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			number, begun := 0, time.Now()
			if slices.Contains(woven, i+1) {
				number = i + 1
			}
			complaint := m.try(t, p, number)
			t.Logf("caught in %v: %s", time.Since(begun).Round(100*time.Millisecond), complaint)
		})
	}
}

const root = "../.."

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
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

// overlay writes files, and what tells go to take them.
func overlay(t *testing.T, dir string, files map[string]string) (path string) {
	t.Helper()
	var overlay struct{ Replace map[string]string }
	overlay.Replace = make(map[string]string)
	for file, text := range files {
		real, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatalf("the path of %s: %v", file, err)
		}
		mutated := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil {
			t.Fatalf("writing the mutated %s: %v", file, err)
		}
		overlay.Replace[real] = mutated
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		t.Fatalf("writing the overlay: %v", err)
	}
	path = filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatalf("writing the overlay: %v", err)
	}
	return path
}

// complaint is what is printed of a seed that a checker complains about, and
// failure of a test.
var (
	complaint = regexp.MustCompile(`seed \d+: .*\n\s*COMPLAINT at .*`)
	failure   = regexp.MustCompile(`--- FAIL: .*\n\s*\w+_test\.go:.*`)
)

// programs builds the tests of packages, once each, from one overlay.
type programs struct {
	dir     string
	overlay string
	mu      sync.Mutex
	built   map[string]func() (string, error) // by package and, of a mutant with a program of its own, its name
}

func newPrograms(t *testing.T, files map[string]string) *programs {
	dir := t.TempDir()
	return &programs{dir: dir, overlay: overlay(t, dir, files), built: make(map[string]func() (string, error))}
}

// of returns the program of a package's tests.
func (p *programs) of(in string) (string, error) {
	p.mu.Lock()
	build := p.built[in]
	if build == nil {
		build = sync.OnceValues(func() (string, error) {
			program := filepath.Join(p.dir, strings.ReplaceAll(in, "/", "_")+".test")
			cmd := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-overlay", p.overlay, "-o", program, "./"+in)
			cmd.Dir = root
			if out, err := cmd.CombinedOutput(); err != nil {
				return "", fmt.Errorf("%v: %w\n%s", cmd, err, out)
			}
			return program, nil
		})
		p.built[in] = build
	}
	p.mu.Unlock()
	return build()
}

// hang bounds a run: the simulation looks at a thousand seeds at most, two minutes of one core.
const hang = 10 * time.Minute

// run runs tests of a package as go test does, with one mutant on; 0: none.
func (p *programs) run(t *testing.T, in string, number int, args ...string) ([]byte, error) {
	t.Helper()
	program, err := p.of(in)
	if err != nil {
		t.Fatalf("building the tests of %s: %v", in, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"-test.paniconexit0", "-test.timeout=" + hang.String()}, args...)...)
	cmd.Dir = filepath.Join(root, in)
	cmd.Env = append(os.Environ(), variable+"="+strconv.Itoa(number), "HOLDFAST_TEST_PATIENCE=20s")
	return cmd.CombinedOutput()
}

// healthy runs the tests that mutants of a package name, without any mutant, once. It
// returns what went wrong.
func healthy(t *testing.T, p *programs, in string) (complaint string) {
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
			if out, err := p.run(t, in, 0, "-test.run", "^("+strings.Join(names, "|")+")$"); err != nil {
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

// try runs the checkers on a mutant until one complains, and returns what it says.
func (m mutant) try(t *testing.T, p *programs, number int) string {
	t.Helper()
	in, says := "internal/trial", complaint
	run := []string{"-test.parallel=1", "-stop", "-test.run=TestSeeds$", "-seeds=1000"}
	switch {
	case m.lua:
		run = []string{"-test.parallel=1", "-stop", "-test.run=TestSeedsOnMiniredis$", "-seeds=800", "-simulated=2m"}
	case m.test != "":
		in, run, says = m.in, []string{"-test.run=^" + m.test + "$"}, failure
		if in == "instance" { // its property tests would note the failure in the tree, to try that first from then on
			run = append(run, "-rapid.nofailfile")
		}
		if complaint := healthy(t, p, in); complaint != "" {
			t.Fatalf("the tests of ./%s must pass without a mutant: %s", in, complaint)
		}
	}
	if number == 0 { // it has a program of its own
		p = newPrograms(t, m.plant(t))
	}
	out, err := p.run(t, in, number, run...)
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
