package promholdfast_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-go/holdfast/engine"
	"github.com/holdfast-go/holdfast/promholdfast"
)

const (
	dashboard   = "../monitoring/dashboard.json"
	alerts      = "../monitoring/alerts.yml"
	alertsTest  = "../monitoring/alerts_test.yml"
	manual      = "../docs/monitoring.md"
	operations  = "../docs/operations.md"
	runbookRoot = "https://github.com/holdfast-go/holdfast/blob/main/docs/monitoring.md#"
)

// described is the names of all metrics that there may be.
func described(t *testing.T) map[string]bool {
	t.Helper()
	descs := make(chan *prometheus.Desc, 100)
	promholdfast.New(promholdfast.Options{}).Describe(descs)
	close(descs)
	names := make(map[string]bool)
	for d := range descs {
		names[regexp.MustCompile(`fqName: "(\w+)"`).FindStringSubmatch(d.String())[1]] = true
	}
	return names
}

// mentioned is the names of metrics in a text, without what histograms add.
func mentioned(text string) map[string]bool {
	names := make(map[string]bool)
	for _, name := range regexp.MustCompile(`holdfast_\w+`).FindAllString(text, -1) {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			name = strings.TrimSuffix(name, suffix)
		}
		names[name] = true
	}
	return names
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	return string(text)
}

// What the dashboard, the alerts and the manual speak of is there; and there is
// nothing that the dashboard or the manual keep to themselves.
func TestTheDashboardTheAlertsAndTheManualMatchTheMetrics(t *testing.T) {
	names := described(t)
	for _, file := range []string{dashboard, alerts, manual} {
		found := mentioned(read(t, file))
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if !names[name] {
				t.Errorf("%s: there is no %s", file, name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			if !found[name] && file != alerts {
				t.Errorf("%s: it lacks %s", file, name)
			}
		}
	}
	for _, alert := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, alerts), -1) {
		if !strings.Contains(read(t, manual), alert[1]) {
			t.Errorf("%s: it lacks %s", manual, alert[1])
		}
		if !strings.Contains(read(t, alertsTest), alert[1]) {
			t.Errorf("%s is not tested", alert[1])
		}
	}
}

// An alert, the page that it leads to, and what operators are told to watch say the
// same of how urgent it is.
func TestWhatPagesIsTheSameEverywhere(t *testing.T) {
	rules := strings.Split(read(t, alerts), "- alert: ")[1:]
	for _, rule := range rules {
		name, _, _ := strings.Cut(rule, "\n")
		severity := regexp.MustCompile(`severity: (\w+)`).FindStringSubmatch(rule)[1]
		if url := "runbook_url: " + runbookRoot + strings.ToLower(name) + "\n"; !strings.Contains(rule, url) {
			t.Errorf("%s has no %q", name, url)
		}
		if heading := "\n### " + name + "\n\n" + strings.ToUpper(severity[:1]) + severity[1:] + "."; !strings.Contains(read(t, manual), heading) {
			t.Errorf("%s: it has no %q", manual, heading)
		}
		pages := strings.Contains(read(t, operations), "`"+name+"`, pages |")
		if pages != (severity == "critical") || !strings.Contains(read(t, operations), "`"+name+"`") {
			t.Errorf("%s: %s is %s, and pages there: %v", operations, name, severity, pages)
		}
	}
	for _, word := range engine.Causes() { // all of them, in the number that people look at
		lost := word != "released" && word != "detached" && word != "closed"
		if counted := regexp.MustCompile(`leases_ended_total[^\n]*[|"]` + word + `[|\\]`).MatchString(read(t, dashboard)); counted != lost {
			t.Errorf("%s: a loss is %v, and counted as one: %v", word, lost, counted)
		}
	}
}

// queries is what the dashboard asks of Prometheus.
func queries(t *testing.T) (all []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Type    string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, dashboard)), &d); err != nil {
		t.Fatalf("json.Unmarshal: %v", err)
	}
	for _, p := range d.Panels {
		if p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("a panel that shows nothing: %+v", p)
		}
		for _, target := range p.Targets {
			all = append(all, target.Expr)
		}
	}
	if len(all) == 0 {
		t.Fatal("it asks for nothing")
	}
	return all
}

func TestTheDashboardIsOne(t *testing.T) { queries(t) }
