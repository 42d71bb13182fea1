package doctor

import (
	"os"
	"strings"
	"testing"
)

// docs/operations.md says what to do about each finding, and about no other.
func TestEveryFindingIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	_, section, _ := strings.Cut(string(text), "## What doctor finds\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, id := range IDs {
		if strings.Count(section, "\n| `"+id+"` |") != 1 {
			t.Errorf("%s has no row of its own", id)
		}
	}
	if rows := strings.Count(section, "\n| `"); rows != len(IDs) {
		t.Errorf("%d rows for %d findings", rows, len(IDs))
	}
}
