package promholdfast_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-go/holdfast/engine"
)

// tool finds a program of Prometheus (Debian's package prometheus). A machine
// that has none cannot check the rules.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s here: make observability installs Debian's package prometheus and runs this", name)
	}
	return path
}

func TestTheAlertsFireWhenTheyShould(t *testing.T) {
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", alerts}, {"test", "rules", alertsTest}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
}

// The first lease that is lost in a process's life is told: with the very series that
// an engine's metrics have before and after it.
func TestTheFirstLossIsTold(t *testing.T) {
	promtool := tool(t, "promtool")
	w := watch(t, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond})
	before := w.series()
	w.use()
	w.settles("holdfast_leases_ended_total", `cause="stolen"`, 1)
	after := w.series()

	rules, err := filepath.Abs(alerts)
	if err != nil {
		t.Fatalf("filepath.Abs: %v", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%q]\nevaluation_interval: 30s\ntests:\n- interval: 30s\n  input_series:\n", rules)
	for series, value := range after {
		first := "_" // it was not there
		if was, there := before[series]; there {
			first = fmt.Sprint(was)
		}
		fmt.Fprintf(&b, "  - {series: '%s', values: '%sx4 %vx20'}\n", series, first, value)
	}
	fmt.Fprint(&b, `
  promql_expr_test:
  - {expr: 'ALERTS{alertname="HoldfastLeaseLost"}', eval_time: 2m}
  - expr: 'count by (cause, severity, alertstate) (ALERTS{alertname="HoldfastLeaseLost"})'
    eval_time: 3m
    exp_samples: [{labels: '{cause="stolen", severity="critical", alertstate="firing"}', value: 1}]
`)
	file := filepath.Join(t.TempDir(), "first_loss.yml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatalf("os.WriteFile: %v", err)
	}
	if out, err := exec.Command(promtool, "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, b.String())
	}
}

// A real Prometheus scrapes an engine, and understands every query of the
// dashboard and every alert.
func TestAPrometheusScrapesTheMetrics(t *testing.T) {
	program := tool(t, "prometheus")
	w := watch(t, engine.Config{TTL: time.Second, RenewEvery: 50 * time.Millisecond})
	w.use()
	scraped := httptest.NewServer(promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{}))
	t.Cleanup(scraped.Close)
	p := startPrometheus(t, program, strings.TrimPrefix(scraped.URL, "http://"))

	p.until(`holdfast_acquires_total{job="app",outcome="granted"}`, "2")
	p.until(`count(holdfast_instance_state{state="up"} == 1)`, "3")
	p.until(`holdfast_leases_ended_total{cause="stolen"}`, "1")
	replace := strings.NewReplacer("$__rate_interval", "1m", "$job", "app")
	for _, query := range queries(t) {
		if _, err := p.ask(replace.Replace(query)); err != nil {
			t.Errorf("%s: %v", query, err)
		}
	}
	text := p.get("/api/v1/rules")
	for deadline := time.Now().Add(patience); strings.Contains(text, `"health":"unknown"`) && time.Now().Before(deadline); {
		text = p.get("/api/v1/rules") // not evaluated yet
	}
	if all, well := strings.Count(read(t, alerts), "- alert:"), strings.Count(text, `"health":"ok"`); well != all {
		t.Errorf("%d of %d alerts are well: %s", well, all, text)
	}
}

type prom struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T, program, target string) prom {
	t.Helper()
	rules, err := filepath.Abs(alerts)
	if err != nil {
		t.Fatalf("filepath.Abs: %v", err)
	}
	dir := t.TempDir()
	config := fmt.Sprintf(`
global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}
rule_files: [%q]
scrape_configs: [{job_name: app, static_configs: [{targets: [%q]}]}]
`, rules, target)
	if err := os.WriteFile(dir+"/prometheus.yml", []byte(config), 0o600); err != nil {
		t.Fatalf("os.WriteFile: %v", err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("net.Listen: %v", err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	var log strings.Builder
	cmd := exec.Command(program, "--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+addr)
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatalf("cmd.Start: %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		http.DefaultClient.CloseIdleConnections()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return prom{t, "http://" + addr}
}

func (p prom) get(path string) string {
	p.t.Helper()
	answer, err := http.Get(p.url + path)
	if err != nil {
		return "" // not up yet
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return string(text)
}

// ask returns the value of the first series that a query yields.
func (p prom) ask(query string) (value string, err error) {
	var answer struct {
		Status, Error string
		Data          struct {
			Result []struct{ Value [2]any }
		}
	}
	text := p.get("/api/v1/query?query=" + url.QueryEscape(query))
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return "", fmt.Errorf("%q: %w", text, err)
	}
	if answer.Status != "success" {
		return "", fmt.Errorf("%s: %s", answer.Status, answer.Error)
	}
	if len(answer.Data.Result) == 0 {
		return "", nil
	}
	return fmt.Sprint(answer.Data.Result[0].Value[1]), nil
}

func (p prom) until(query, want string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		got, err := p.ask(query)
		if err == nil && got == want {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is %q, want %q: %v", query, got, want, err)
		}
	}
}
