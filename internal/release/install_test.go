package main

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

// What the README and docs/cli.md tell users to type works on the day of the
// release, as it stands there, for somebody who has Go and nothing of ours.
func TestUsersCanInstallIt(t *testing.T) {
	version := releasing(t)
	proxies := proxies(t, version)
	readme := read(t, "README.md")
	servers := redistest.URLs(redistest.StartN(t, 3))

	t.Run("the command", func(t *testing.T) {
		u := newUser(t, proxies)
		u.types(line(t, readme, "go install .*"))
		u.prints("holdfast "+version+" (go", "holdfast", "--version")
	})

	t.Run("the command, static", func(t *testing.T) {
		u := newUser(t, proxies)
		u.types(line(t, read(t, "docs/cli.md"), "CGO_ENABLED=0 go install .*"))
		u.prints("holdfast "+version+" (go", "holdfast", "--version")
		static(t, filepath.Join(u.dir, "bin", "holdfast"))
	})

	t.Run("the README's program", func(t *testing.T) {
		u := newUser(t, proxies)
		u.module()
		u.types(line(t, readme, "go get .*/engine@.*"))
		program := block(t, readme)
		for n, server := range servers {
			address := fmt.Sprintf("redis://10.0.0.%d:6379", n+1)
			if strings.Count(program, address) != 1 {
				t.Fatalf("the program should name %s, once:\n%s", address, program)
			}
			program = strings.Replace(program, address, server, 1)
		}
		u.builds(program)
		u.prints("nobody else is writing the report now", "./app")
	})

	for dir, program := range map[string]string{"promholdfast": withPrometheus, "otelholdfast": withOpenTelemetry} {
		t.Run(dir, func(t *testing.T) {
			u := newUser(t, proxies)
			u.module()
			u.types(line(t, readme, "go get .*/"+dir+"@.*"))
			u.builds(program)
			u.prints("locked", "./app", servers...)
		})
	}
}

const withPrometheus = `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/promholdfast"
)

func main() {
	metrics := promholdfast.New(promholdfast.Options{})
	locks, err := engine.Open(context.Background(), os.Args[1:], engine.Config{Trace: metrics.Trace()})
	if err != nil {
		log.Fatal(err)
	}
	metrics.Attach(locks)
	prometheus.MustRegister(metrics)
	err = locks.Do(context.Background(), "job", func(context.Context) error {
		fmt.Println("locked")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
`

const withOpenTelemetry = `package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/otelholdfast"
)

func main() {
	telemetry, err := otelholdfast.New(otelholdfast.Options{})
	if err != nil {
		log.Fatal(err)
	}
	locks, err := engine.Open(context.Background(), os.Args[1:], engine.Config{Trace: telemetry.Trace()})
	if err != nil {
		log.Fatal(err)
	}
	if err := telemetry.Attach(locks); err != nil {
		log.Fatal(err)
	}
	err = locks.Do(context.Background(), "job", func(context.Context) error {
		fmt.Println("locked")
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
`

// proxies is the GOPROXY of the day of the release: our modules from this tree, and
// others' from this machine's own cache. The go command has checked those against
// our go.sum when it brought them there, which go list sees to. So what users do
// is done without a network, and without the checksum database.
func proxies(t *testing.T, version string) string {
	t.Helper()
	ours := t.TempDir()
	if err := publish(ours, root, version); err != nil {
		t.Fatalf("publish: %v", err)
	}
	for _, dir := range published {
		workspace := "off"
		if dir != "." {
			workspace = ""
		}
		run(t, filepath.Join(root, dir), append(os.Environ(), "GOWORK="+workspace), "go", "list", "-mod=readonly", "-deps", "./...")
	}
	cache := filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")
	return "file://" + ours + ",file://" + cache
}

// user is somebody who has Go as it is after its installation, an empty folder,
// and no clone, workspace or module cache.
type user struct {
	t   *testing.T
	dir string
	env []string
}

// newUser's packages are compiled with -trimpath only so that others' are found
// compiled when the test runs again: else the folder would be part of their names.
func newUser(t *testing.T, proxies string) user {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	return user{t, dir, append(
		os.Environ(),
		"PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"GOPATH="+filepath.Join(dir, "gopath"), "GOBIN="+bin, "GOMODCACHE="+filepath.Join(dir, "modcache"),
		"GOCACHE="+goEnv(t, "GOCACHE"),
		"GOENV=off", "GOWORK=off", "GOFLAGS=-modcacherw -trimpath",
		"GOPROXY="+proxies, "GOPRIVATE=", "GONOPROXY=none", "GOSUMDB=off",
	)}
}

// types types a line into a shell.
func (u user) types(line string) {
	u.t.Helper()
	run(u.t, u.dir, u.env, "sh", "-ec", line)
}

func (u user) module() {
	u.t.Helper()
	u.types("go mod init example.com/app")
}

// builds builds a program, without another word than was said before: the go
// command would ask for what is missing in go.mod or go.sum.
func (u user) builds(program string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.dir, "main.go"), []byte(program), 0o600); err != nil {
		u.t.Fatalf("os.WriteFile: %v", err)
	}
	u.types("go build -o app .")
}

// prints runs a program that must print a line that has want in it.
func (u user) prints(want, program string, args ...string) {
	u.t.Helper()
	out := run(u.t, u.dir, u.env, "sh", append([]string{"-ec", `exec "$0" "$@"`, program}, args...)...)
	if !strings.Contains(out, want) || strings.Count(out, "\n") != 1 {
		u.t.Errorf("%s printed %q instead of a line with %q", program, out, want)
	}
}

// static fails unless the kernel alone can start the program.
func static(t *testing.T, program string) {
	t.Helper()
	if runtime.GOOS != "linux" {
		return // it needs the system's own libraries elsewhere
	}
	file, err := elf.Open(program)
	if err != nil {
		t.Fatalf("elf.Open: %v", err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			t.Errorf("%s needs a loader", program)
		}
	}
	if libraries, err := file.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("%s needs %q (%v)", program, libraries, err)
	}
}

// run runs a program, which must succeed, and returns all that it prints.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a machine that has compiled nothing yet
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	return strings.TrimSpace(run(t, ".", os.Environ(), "go", "env", name))
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	return string(text)
}

// line returns the one line of code that the pattern matches.
func line(t *testing.T, text, pattern string) string {
	t.Helper()
	found := regexp.MustCompile("(?m)^(?:    )?"+pattern+"$").FindAllString(text, -1)
	if len(found) != 1 {
		t.Fatalf("%q: %d lines match: %q", pattern, len(found), found)
	}
	return strings.TrimSpace(found[0])
}

// block returns the first block of Go that is a whole program.
func block(t *testing.T, text string) string {
	t.Helper()
	_, program, found := strings.Cut(text, "```go\npackage main\n")
	program, _, end := strings.Cut(program, "\n```\n")
	if !found || !end {
		t.Fatal("there is no program")
	}
	return "package main\n" + program + "\n"
}
