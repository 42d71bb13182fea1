package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestWithServersOfItsOwn(t *testing.T) {
	t.Parallel()
	stdout, stderr, exit := program.Run(t, "")
	if exit != 0 || stderr != "" {
		t.Errorf("exit %d, and on standard error: %s", exit, stderr)
	}
	tells(t, stdout,
		`The servers.*HOLDFAST_REDIS is not set: three run inside this program`,
		`2 of 3, of the servers 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+, 127\.0\.0\.1:\d+`,
		`Acquire.*Ada holds the report`,
		`Contend.*Cy tries once, and is refused`,
		`acquire "report": held by another \(needs 2 of 3: .*held by "Ada~\w+…"`,
		`Bob wants it too`,
		`Renew.*Ada has held it for \d{4} ms`,
		`Lose one server.*is killed\. Two of three are a majority`,
		`Cy locks the bills.*more than the TTL.*releases them`,
		`Ada holds the report as before`,
		`Hand over.*Ada releases the report: Done is closed, Err is "lease released"`,
		`Bob holds it, \S+ ms after she let go`,
		`These servers inside the program push nothing`,
		`Cy looks: "report" is held by "Bob~\w+…"`,
		`Fence.*Ada writes.*Bob writes.*Cy writes.*It is refused`,
		`Lose the majority.*is killed too`,
		`Bob must stop now: Done is closed, Err is "lease lost: expired"`,
		`Done came first: on the last server his key has [\d.]+ ms left`,
		`inspect "report": no quorum \(needs 2 of 3: .*unreachable.*unreachable`,
		`Release says that he had lost it before`,
		`The end.*All engines are closed\.`,
	)
	readable(t, stdout)
	if text := strings.Join(strings.Fields(stdout), " "); strings.Contains(text, "not waited for") != strings.Contains(text, "Not waited for is no fault") {
		t.Errorf("a vote that is missing is not explained:\n%s", stdout)
	}
}

func TestWithRealServers(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	stdout, stderr, exit := program.Run(t, strings.Join(redistest.URLs(servers), ", "))
	if exit != 0 || stderr != "" {
		t.Errorf("exit %d, and on standard error: %s", exit, stderr)
	}
	tells(t, stdout,
		`HOLDFAST_REDIS names real ones, 3 in all`,
		regexp.QuoteMeta(servers[0].Addr()+", "+servers[1].Addr()+", "+servers[2].Addr()),
		`Acquire.*Ada holds the report`,
		`Contend.*Cy tries once, and is refused.*needs 2 of 3`,
		`Renew.*Ada has held it for \d{4} ms`,
		`Lose one server \d+ ms Skipped`,
		`Hand over.*Bob holds it`,
		`Fence.*Ada writes.*Bob writes.*Cy writes.*It is refused`,
		`Lose the majority \d+ ms Skipped`,
		`The end.*released Bob's report`,
	)
	for n, s := range servers {
		keys, _ := s.MustDo("KEYS", "*").([]any)
		for _, key := range keys {
			if name := fmt.Sprint(key); !strings.Contains(name, "holdfast-quickstart:") || !strings.HasSuffix(name, "fences:1") {
				t.Errorf("it has left %s on server %d", name, n)
			}
		}
	}
}

func TestVerboseShowsTheLog(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	stdout, stderr, exit := program.Run(t, servers[0].URL(), "-v")
	if exit != 0 || !strings.Contains(stderr, "instance is up") {
		t.Errorf("exit %d, and on standard error: %s", exit, stderr)
	}
	tells(t, stdout, `a majority, 1 of 1`, `The end`)
}

func TestAnErrorIsOneLineAndExitCode1(t *testing.T) {
	t.Parallel()
	_, stderr, exit := program.Run(t, "redis://:pa55w0rd@localhost:port")
	if exit != 1 || strings.Count(stderr, "\n") != 1 || !strings.HasPrefix(stderr, "quickstart: ") || strings.Contains(stderr, "pa55w0rd") {
		t.Errorf("exit %d, and on standard error: %s", exit, stderr)
	}
}

func TestInterruptedItLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	for name, urls := range map[string][]string{"own": nil, "real": redistest.URLs(servers)} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			err := run(ctx, &interrupter{at: "Renew", cancel: cancel}, urls, nil)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("interrupted: %v", err)
			}
		})
	}
	for n, s := range servers {
		if keys, _ := s.MustDo("KEYS", "*").([]any); len(keys) > 0 {
			t.Errorf("it has left %v on server %d", keys, n)
		}
	}
}

// interrupter cancels when it is told to write a text.
type interrupter struct {
	at     string
	cancel context.CancelFunc
}

func (i *interrupter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), i.at) {
		i.cancel()
	}
	return len(p), nil
}

func TestAFailedWriteIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk full")
	servers := redistest.StartN(t, 1)
	if err := run(t.Context(), failing{broken}, redistest.URLs(servers), nil); !errors.Is(err, broken) {
		t.Errorf("writing fails, and run returns %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// tells fails the test unless the output has these passages, in this order. Where
// its lines are broken does not matter.
func tells(t *testing.T, output string, passages ...string) {
	t.Helper()
	rest := strings.Join(strings.Fields(output), " ")
	for _, passage := range passages {
		// Not greedy: the first occurrence, so that what follows is still to come.
		at := regexp.MustCompile(strings.ReplaceAll(passage, ".*", ".*?")).FindStringIndex(rest)
		if at == nil {
			t.Fatalf("%q is missing, or comes too early, in\n%s", passage, output)
		}
		rest = rest[at[1]:]
	}
}

var timed = regexp.MustCompile(`^ *(\d+) ms  (Ada|Bob|Cy |   )  \S`)

// readable fails the test unless the lines are short and plain, and time goes on.
func readable(t *testing.T, output string) {
	t.Helper()
	last := 0
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		if utf8.RuneCountInString(line) > width || strings.ContainsAny(line, "\x1b\t") || strings.TrimRight(line, " ") != line {
			t.Errorf("not a plain line of up to %d characters: %q", width, line)
		}
		if m := timed.FindStringSubmatch(line); m != nil {
			at, _ := strconv.Atoi(m[1])
			if at < last {
				t.Errorf("time runs backwards: %q", line)
			}
			last = at
		}
	}
	if last == 0 {
		t.Error("there is no time column")
	}
}
