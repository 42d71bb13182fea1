package debughttp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/internal/testkit"
	"github.com/holdfast-go/holdfast/lease"
)

// What a browser sends.
const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

const hostile = `<script>alert("1")</script>&amp;`

func TestThePageShowsWhatTheEngineIsDoing(t *testing.T) {
	e, servers := open(t, engine.Config{Owner: "host<1>"})
	h := Handler(e)
	w := get(h, browser, "")
	has(t, w.Body.String(), "<p>none</p>", `<span class="state up">up</span>`)

	held := []*lease.Lease{
		acquire(t, e, "orders/42", engine.WithFencing()),
		acquire(t, e, hostile),
		acquire(t, e, "bytes\xff\x00"),
		acquire(t, e, "right\u202eleft", engine.WithoutRenewal()),
		acquire(t, e, "own", engine.WithToken("a secret of the user's own")),
	}
	wait(t, e, "orders/42")
	wait(t, e, "orders/42")
	lost := acquire(t, e, "lost")
	lose(t, servers, lost)

	for _, accept := range []string{browser, "", "*/*", "application/json", "application/json, text/html"} {
		w := get(h, accept, "")
		if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Vary") != "Accept" {
			t.Errorf("%q: got %d %v, want 200, not to be stored, Vary: Accept", accept, w.Code, w.Header())
		}
		text := w.Body.String()
		hasNone(t, text, lost.Token(), "<script>alert", "a secret of", "\u202e")
		for _, l := range held {
			hasNone(t, text, l.Token(), l.Token()[len(l.Token())-8:])
		}
		wantType := "text/html; charset=utf-8"
		if strings.HasPrefix(accept, "application/json") {
			wantType = "application/json"
		}
		if got := w.Header().Get("Content-Type"); got != wantType {
			t.Errorf("%q: it is %q, want %q", accept, got, wantType)
		}
	}

	text := get(h, browser, "").Body.String()
	has(t, text, "<td>orders/42</td>", "host&lt;1&gt;~", `&lt;script&gt;alert(&#34;1&#34;)&lt;/script&gt;&amp;amp;`,
		`bytes\xff\x00`, `right\u202eleft`, "not renewed", fmt.Sprint(held[0].Fence()), `<td class="bad">stolen</td>`,
		`<td>orders/42</td><td class="n">2</td>`, `<noscript><meta http-equiv="refresh"`)

	servers[1].Kill()
	// The first reason may be that the connection broke; the last is that there is none to be had.
	testkit.Eventually(t, "the page says that an instance is down, and why", func() bool {
		_, _ = e.TryAcquire(within(t), "probe") // a connection's end is noticed when something is asked
		text = get(h, browser, "").Body.String()
		return strings.Contains(text, `<span class="state down">down</span>`) && strings.Contains(text, "connect: connection refused</td>")
	})
	has(t, text, "<td>redis-2</td>")
}

func TestJSONSaysTheSameAsThePage(t *testing.T) {
	e, servers := open(t, engine.Config{Owner: "host-1", TTL: 30 * time.Second})
	acquire(t, e, "b", engine.WithFencing())
	acquire(t, e, "a")
	wait(t, e, "a")
	for _, s := range servers {
		s.Set("elsewhere", "somebody else's", time.Minute)
	}
	wait(t, e, "elsewhere")
	testkit.Eventually(t, "it has its place in the queue", func() bool { return e.Snapshot(0).First == 1 })
	has(t, get(Handler(e), browser, "").Body.String(), "<dt>places in queues</dt><dd>1, 1 the first</dd>")
	lose(t, servers, acquire(t, e, "c"))

	var got view
	text := get(Handler(e), "application/json", "").Body.Bytes()
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatalf("json.Unmarshal: %v", err)
	}
	if got.Held != 2 || got.Waiting != 2 || got.Places != 1 || got.First != 1 || got.Lost != 1 || len(got.Instances) != 3 || len(got.Leases) != 2 || len(got.Lines) != 2 || len(got.Losses) != 1 || len(got.Ends) != 1 {
		t.Fatalf("want 2 held, 2 waiting, 1 place, 1 first, 1 lost, 3 instances, 2 leases, 2 lines, 1 loss, 1 end; got %s", text)
	}
	i, a, b, loss := got.Instances[0], got.Leases[0], got.Leases[1], got.Losses[0]
	if i.Name != e.Instances()[0].Name || i.State != "up" || i.RunID == "" || i.Latency <= 0 || time.Since(i.Since) > testkit.Patience {
		t.Errorf("the first instance: got %+v, want it up, with a run id, a latency and since when", i)
	}
	if a.Resource != "a" || b.Resource != "b" || b.Fence == 0 || a.Fence != 0 || !strings.HasPrefix(a.Holder, "host-1~") || !a.Renewed {
		t.Errorf("the leases: got %+v and %+v, want a, without a fence, and b, with one", a, b)
	}
	if a.Remaining <= millis(9*time.Second) || a.Remaining >= millis(30*time.Second) {
		t.Errorf("it remains for %v", a.Remaining)
	}
	if got.Lines[0] != (lineView{"a", 1}) || loss.Resource != "c" || loss.Cause != "stolen" {
		t.Errorf("got the lines %+v and the loss %+v, want one waiting for a, and c stolen", got.Lines, loss)
	}
	empty := get(Handler(e), "application/json", "?limit=0").Body.String()
	has(t, empty, `"leases": []`, `"waiters": []`, `"losses": []`, `"held": 2`)
}

func (s *millis) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseFloat(string(text), 64)
	*s = millis(n * float64(time.Millisecond))
	return err
}

func TestItIsSaidWhichPermitsALeaseIsOf(t *testing.T) {
	e, _ := open(t, engine.Config{})
	one := acquire(t, e, "jobs", engine.Permits(3))
	two := acquire(t, e, "jobs", engine.Permits(3), engine.Weight(2))
	if err := one.Release(within(t)); err != nil {
		t.Fatalf("Release: %v", err)
	}
	released, held := one.Slots()[0], two.Slots()
	has(t, get(Handler(e), browser, "").Body.String(),
		fmt.Sprintf("<td>jobs, permit %d</td>", released), fmt.Sprintf("<td>jobs, permits %d %d</td>", held[0], held[1]))
	var got view
	if err := json.Unmarshal(get(Handler(e), "application/json", "").Body.Bytes(), &got); err != nil {
		t.Fatalf("json.Unmarshal: %v", err)
	}
	if !slices.Equal(got.Leases[0].Slots, held) || !slices.Equal(got.Ends[0].Slots, []int{released}) {
		t.Errorf("got the lease %+v and the end %+v, want permits %v and %d", got.Leases[0], got.Ends[0], held, released)
	}
}

func TestTheLimitIsObeyed(t *testing.T) {
	e, _ := open(t, engine.Config{})
	h := Handler(e)
	for n := range 12 {
		acquire(t, e, fmt.Sprintf("lock-%02d", n))
	}
	for query, want := range map[string]int{"": 12, "?limit=12": 12, "?limit=5": 5, "?limit=0": 0, "?limit=10000": 12} {
		text := get(h, browser, query).Body.String()
		if got := strings.Count(text, "<td>lock-"); got != want {
			t.Errorf("%q: %d leases, want %d", query, got, want)
		}
		if more := fmt.Sprintf("<p>and %d more</p>", 12-want); strings.Contains(text, more) != (want < 12) {
			t.Errorf("%q: want %d leases listed and the rest counted, got %s", query, want, text)
		}
	}
	for _, query := range []string{"?limit=-1", "?limit=10001", "?limit=many", "?limit=1e3"} {
		w := get(h, browser, query)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "it must be a number from 0 to 10000") {
			t.Errorf("%q: got %d %s, want 400 and what the number must be", query, w.Code, w.Body)
		}
	}
}

func TestThePageCanOnlyBeLookedAt(t *testing.T) {
	e, _ := open(t, engine.Config{})
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		w := httptest.NewRecorder()
		Handler(e).ServeHTTP(w, httptest.NewRequest(method, "/", nil))
		if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: got %d %v, want 405, Allow: GET, HEAD", method, w.Code, w.Header())
		}
	}
}

// The browser runs nothing but the script that we have written.
func TestThePolicyLetsInWhatThePageHas(t *testing.T) {
	e, _ := open(t, engine.Config{})
	w := get(Handler(e), browser, "")
	policy := w.Header().Get("Content-Security-Policy")
	has(t, policy, "default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'")
	hasNone(t, policy, "unsafe")
	for tag, directive := range map[string]string{"style": "style-src", "script": "script-src"} {
		found := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(w.Body.String(), -1)
		if len(found) != 1 {
			t.Fatalf("%d <%s>", len(found), tag)
		}
		has(t, policy, directive+" '"+digest(found[0][1])+"'")
	}
	hasNone(t, w.Body.String(), " style=", "onclick", "src=", "href=")
}

func TestTheFirstTypeThatWeHaveIsAnswered(t *testing.T) {
	for accept, want := range map[string]string{
		"":                                   "text/html",
		"*/*":                                "text/html",
		browser:                              "text/html",
		"application/json":                   "application/json",
		"Application/JSON; q=0.9":            "application/json",
		"text/event-stream":                  "text/event-stream",
		"image/png, application/json, */*":   "application/json",
		"text/html, application/json":        "text/html",
		"application/jsonx;application/json": "text/html",
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", accept)
		if got := wanted(r); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
}
