package debughttp

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/testkit"
)

// A browser is heavy, so that this test runs on demand only, by `make observability` or
//
//	go test ./debughttp -run TestInABrowser -chromium chromium -screenshot ../docs/debug.png
var (
	chromium   = flag.String("chromium", "", "the Chromium to try the page in; none by default")
	screenshot = flag.String("screenshot", "", "where to write what the page looks like there")
)

func TestInABrowser(t *testing.T) {
	if *chromium == "" {
		t.Skip("a browser is heavy, and not everywhere: make observability installs one and runs this, or -chromium PROGRAM")
	}
	recorder := NewRecorder()
	recorder.start = recorder.start.Add(-remembered*time.Second + 20*time.Second) // a past that is told faster than it goes by
	e, servers := open(t, engine.Config{Owner: "host-1", Trace: recorder.Trace()})
	past(recorder)
	ours := process
	t.Cleanup(func() { process = ours })
	process.Host, process.Program, process.Version = "host-1", "example.com/reports", "v1.4.0"
	process.Started = process.Started.Add(-3 * time.Hour)
	server := serve(t, recorder.Handler(e))
	acquire(t, e, "cron/nightly-report", engine.WithFencing())
	acquire(t, e, "users/Zoë/cart")
	for range 3 {
		wait(t, e, "cron/nightly-report")
	}
	wait(t, e, "users/Zoë/cart")
	lose(t, servers, acquire(t, e, "deploy/production"))

	b := start(t)
	page := b.open(server.URL)
	page.until(`document.getElementById("link").textContent`, "live")
	for _, resource := range []string{"users/Ann/cart", "cron/hourly-report"} {
		if err := acquire(t, e, resource).Release(within(t)); err != nil {
			t.Fatalf("release %q: %v", resource, err)
		}
	}
	live := acquire(t, e, "acquired/just-now") // shown without anybody asking for the page again
	page.until(`document.body.textContent.includes("acquired/just-now")`, "true")
	page.until(`document.documentElement.outerHTML.includes(`+quote(live.Token())+`)`, "false")

	servers[2].Kill()
	for e.Instances()[2].State.String() != "down" {
		_, _ = e.TryAcquire(within(t), "probe")
	}
	page.until(`document.querySelectorAll(".state.down").length`, "1")
	page.until(`document.querySelectorAll("svg.plot").length`, "5")
	page.until(`new Set([...document.querySelectorAll("svg.plot .line")].map(l => getComputedStyle(l).stroke)).size > 2`, "true")
	bright := page.eval(`getComputedStyle(document.querySelector("svg.plot .line")).stroke`)
	page.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": "dark"}}})
	page.until(`getComputedStyle(document.querySelector("svg.plot .line")).stroke === `+quote(bright), "false")
	if *screenshot != "" {
		page.shoot(strings.TrimSuffix(*screenshot, ".png") + "-dark.png")
		page.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{}})
		page.shoot(*screenshot)
	}
	acquire(t, e, hostile)
	page.until(`[...document.querySelectorAll("td")].some(td => td.textContent === `+quote(hostile)+`)`, "true")
	page.until(`document.querySelectorAll("script").length`, "1")

	plain := b.newPage()
	plain.call("Emulation.setScriptExecutionDisabled", map[string]any{"value": true})
	plain.visit(server.URL)
	acquire(t, e, "seen-without-script")
	plain.untilText("seen-without-script") // after it has been loaded again by itself
}

// past makes up five minutes, in which an instance hung for half a minute.
func past(r *Recorder) {
	random := rand.New(rand.NewPCG(1, 2)) // the same picture every time
	some := func(from, to float64) float64 { return from + random.Float64()*(to-from) }
	for second := range remembered {
		r.mu.Lock()
		b := &r.ring[second%len(r.ring)]
		*b = bucket{second: second, margin: time.Duration(some(6.4, 6.7) * 1e9)}
		busy := 1 + .4*math.Sin(float64(second)/40)
		hangs := second >= 180 && second < 210
		b.outcomes[0], b.outcomes[1] = uint32(busy*some(110, 130)), uint32(busy*some(14, 22))
		slow := .0006
		for n := range 3 {
			trip := .0004 * float64(n+2) / 2 * some(.9, 1.1)
			if n == 2 && hangs {
				trip *= some(150, 400)
			}
			b.trips[r.indexOf(fmt.Sprintf("redis-%d", n+1))] = trips{time.Duration(trip * 1e9), 1}
		}
		if hangs {
			b.outcomes[0] /= 3
			b.outcomes[2] = uint32(some(8, 16))
			b.margin = time.Duration(some(1.2, 3) * 1e9)
			slow = .004
		}
		for n := range b.outcomes[0] {
			waited := slow * some(.8, 1.6)
			if n%40 == 0 {
				waited *= some(8, 30)
			}
			b.waits.add(time.Duration(waited * 1e9))
		}
		r.mu.Unlock()
	}
}

// chrome is a Chromium that is spoken to through a pipe, in the Chrome DevTools
// Protocol: JSON objects, each with a zero byte behind it.
type chrome struct {
	t    *testing.T
	out  *os.File
	in   *bufio.Reader
	next int
}

func start(t *testing.T) *chrome {
	t.Helper()
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatalf("os.Pipe: %v", err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatalf("os.Pipe: %v", err)
	}
	cmd := exec.Command(*chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--force-device-scale-factor=2", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatalf("cmd.Start: %v", err)
	}
	_, _ = theirIn.Close(), theirOut.Close()
	stuck := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	b := &chrome{t: t, out: ourOut, in: bufio.NewReader(ourIn)}
	t.Cleanup(func() {
		_ = ourOut.Close() // it ends with the pipe
		_ = cmd.Wait()
		_ = ourIn.Close()
		stuck.Stop()
	})
	return b
}

// call asks for something and returns the answer, whatever else it hears meanwhile.
func (b *chrome) call(session, method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.next++
	request := map[string]any{"id": b.next, "method": method, "params": params}
	if session != "" {
		request["sessionId"] = session
	}
	text, err := json.Marshal(request)
	if err != nil {
		b.t.Fatalf("json.Marshal: %v", err)
	}
	if _, err := b.out.Write(append(text, 0)); err != nil {
		b.t.Fatalf("b.out.Write: %v", err)
	}
	for {
		text, err := b.in.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("%s: %v", method, err)
		}
		var answer struct {
			ID     int
			Result map[string]any
			Error  *struct{ Message string }
		}
		if err := json.Unmarshal(bytes.TrimRight(text, "\x00"), &answer); err != nil {
			b.t.Fatalf("json.Unmarshal: %v", err)
		}
		switch {
		case answer.ID != b.next:
		case answer.Error != nil:
			b.t.Fatalf("%s: %s", method, answer.Error.Message)
		default:
			return answer.Result
		}
	}
}

// tab is one page in the browser.
type tab struct {
	*chrome
	session string
}

func (b *chrome) newPage() *tab {
	target := b.call("", "Target.createTarget", map[string]any{"url": "about:blank", "newWindow": true, "width": 1000, "height": 900})
	session := b.call("", "Target.attachToTarget", map[string]any{"targetId": target["targetId"], "flatten": true})
	return &tab{b, session["sessionId"].(string)}
}

func (b *chrome) open(url string) *tab {
	p := b.newPage()
	p.visit(url)
	return p
}

func (p *tab) call(method string, params map[string]any) map[string]any {
	return p.chrome.call(p.session, method, params)
}

func (p *tab) visit(url string) { p.call("Page.navigate", map[string]any{"url": url}) }

// eval is the value of an expression, as text.
func (p *tab) eval(expression string) string {
	p.t.Helper()
	result := p.call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")"})
	return fmt.Sprint(result["result"].(map[string]any)["value"])
}

// until waits until an expression has this value, as text.
func (p *tab) until(expression, want string) {
	p.t.Helper()
	got := ""
	p.wait(func() bool {
		got = p.eval(expression)
		return got == want
	}, func() string { return fmt.Sprintf("%s is %q, want %q", expression, got, want) })
}

// untilText waits until the page has this text; no script need run for it.
func (p *tab) untilText(want string) {
	p.t.Helper()
	tree := ""
	p.wait(func() bool {
		tree = fmt.Sprint(p.call("DOM.getDocument", map[string]any{"depth": -1}))
		return strings.Contains(tree, want)
	}, func() string { return "it lacks " + want + ": " + tree })
}

func (p *tab) wait(so func() bool, wrong func() string) {
	p.t.Helper()
	for deadline := time.Now().Add(testkit.Patience); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatal(wrong())
		}
	}
}

func (p *tab) shoot(file string) {
	p.t.Helper()
	result := p.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
	picture, err := base64.StdEncoding.DecodeString(result["data"].(string))
	if err != nil {
		p.t.Fatalf("base64.StdEncoding.DecodeString: %v", err)
	}
	if err := os.WriteFile(file, picture, 0o644); err != nil {
		p.t.Fatalf("os.WriteFile: %v", err)
	}
}

// quote is text as JavaScript has it.
func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string always can be
	return string(quoted)
}
