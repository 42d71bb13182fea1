package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandPrintsTablesAndWritesJSONAndChart(t *testing.T) {
	needRedis(t)
	ownTemp(t)
	out, svg := filepath.Join(t.TempDir(), "out.json"), filepath.Join(t.TempDir(), "out.svg")
	args := []string{
		"-quick", "-run", "distinct", "-peers", "^holdfast|^wire", "-instances", "3", "-callers", "512", "-rounds", "2",
		"-window", "50ms", "-markdown", "-json", out,
	}
	var measured, again bytes.Buffer
	if err := run(t.Context(), args, &measured, t.Output()); err != nil {
		t.Fatalf("run: %v", err)
	}
	for _, want := range []string{
		"| holdfast ", "|:----", "again: cd bench && go run . -quick -run distinct -peers '^holdfast|^wire'", "| bar ",
	} {
		if !strings.Contains(measured.String(), want) {
			t.Errorf("%q is missing from:\n%s", want, &measured)
		}
	}
	found, err := readJSON(out)
	if err != nil {
		t.Fatalf("readJSON: %v", err)
	}
	if rec := found.Scenarios[0].Records[0]; rec.Peer != "holdfast" || rec.Median["rate"] <= 0 || len(rec.Rounds) != 2 {
		t.Errorf("wrote %+v", rec)
	}

	if err := run(t.Context(), []string{"-from", out, "-markdown", "-chart", svg}, &again, t.Output()); err != nil {
		t.Fatalf("run: %v", err)
	}
	if measured.String() != again.String() {
		t.Errorf("printed from the file:\n%s\nprinted when it was measured:\n%s", &again, &measured)
	}
	checkChart(t, svg, "holdfast", "wire floor", "N=3", "512 callers")
}

// checkChart checks that a file is a drawing with these texts in it, as text.
func checkChart(t *testing.T, path string, texts ...string) {
	t.Helper()
	drawing, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	there := make(map[string]bool)
	for tokens := xml.NewDecoder(bytes.NewReader(drawing)); ; {
		token, err := tokens.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, drawing)
		}
		switch token := token.(type) {
		case xml.CharData:
			there[string(token)] = true
		case xml.StartElement:
			if token.Name.Local == "script" {
				t.Error("there is a script in it")
			}
		}
	}
	for _, want := range texts {
		if !there[want] {
			t.Errorf("%q is not in the chart", want)
		}
	}
}

// TestEveryPeerHasItsMark: one without is in the legend and not in the chart.
func TestEveryPeerHasItsMark(t *testing.T) {
	for _, p := range locks {
		if marks[p.name] == "" {
			t.Errorf("%s has no mark", p.name)
		}
	}
}

func TestChartNeedsItsScenario(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.svg")
	if err := draw(path, &findings{Environment: new(env)}); err == nil || !strings.Contains(err.Error(), "distinct") {
		t.Errorf("got %v, want an error that names the scenario", err)
	}
}

func TestFileThatIsNotOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.json")
	for _, text := range []string{"", "[]", `{"scenarios": [{"name": "other"}]}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatalf("os.WriteFile: %v", err)
		}
		if _, err := readJSON(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: got %v, want an error that names the file", text, err)
		}
	}
}

// TestBarsAreOfColumnsThatExist: one of a key that nobody measures would never be judged.
func TestBarsAreOfColumnsThatExist(t *testing.T) {
	columns := make(map[string]bool)
	for _, s := range scenarios {
		for _, c := range s.columns {
			columns[s.name+" "+c.key] = true
		}
	}
	for _, b := range bars {
		if !columns[b.scenario+" "+b.key] {
			t.Errorf("%s has no column %q", b.scenario, b.key)
		}
	}
}

func TestJudgement(t *testing.T) {
	r := newReport(allocs)
	for callers, value := range map[int]float64{1: 10, 64: 10.1} {
		r.Records = append(r.Records,
			&record{Peer: "holdfast", Instances: 3, Callers: callers, Median: values{"allocs": value}},
			&record{Peer: "redsync", Instances: 3, Callers: callers, Median: values{"allocs": 1}})
	}
	list := judge([]*report{r})
	if len(list) != 2 || !list[0].Met || list[1].Met {
		t.Errorf("judged %+v, want 10 met by 10.0 and not by 10.1", list)
	}
	var out bytes.Buffer
	printBars(&out, false, list)
	for _, want := range []string{"N=3, 1 caller", "allocations ≤ 10.0", "yes", "no"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing from:\n%s", want, &out)
		}
	}
}
