package arrows

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/holdfast-go/holdfast"
	design = "../../docs/design.md"
	// The picture is the block of text behind this line. A line of it is a package, an arrow and what the package
	// imports; a package that is not there may be imported by nobody.
	heading = "### Who imports whom"
)

// TestImportsRunAsThePictureSays: a package that imports more than the picture allows is not
// where it belongs, and an arrow that no import follows any more is no help to a reader.
func TestImportsRunAsThePictureSays(t *testing.T) {
	imports, allowed := imports(t), picture(t)
	for pkg, imported := range imports {
		for _, to := range imported {
			if !slices.Contains(allowed[pkg], to) {
				t.Errorf("%s imports %s: %s does not allow that", pkg, to, design)
			}
		}
		for _, to := range allowed[pkg] {
			if !slices.Contains(imported, to) {
				t.Errorf("%s does not import %s, as %s has it", pkg, to, design)
			}
		}
	}
	for pkg := range allowed {
		if _, exists := imports[pkg]; !exists {
			t.Errorf("%s has %s, which is no package", design, pkg)
		}
	}
}

// imports are the module's own packages that each of them imports, tests left out.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"/...")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	found := make(map[string][]string)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := short(fields[0])
		if strings.HasPrefix(pkg, "examples/") || pkg == "." {
			continue // programs that use the public packages
		}
		found[pkg] = nil
		for _, path := range fields[1:] {
			if path == module || strings.HasPrefix(path, module+"/") {
				found[pkg] = append(found[pkg], short(path))
			}
		}
	}
	return found
}

func short(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// picture reads the block in docs/design.md. Each line's packages are those of the lines
// above it: so the arrows run one way.
func picture(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(design)
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	_, behind, found := strings.Cut(string(text), heading+"\n")
	_, block, opened := strings.Cut(behind, "```text\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !opened || !closed {
		t.Fatalf("%s has no block of text behind %q", design, heading)
	}
	drawn := make(map[string][]string)
	for line := range strings.Lines(block) {
		names, arrows, _ := strings.Cut(line, "→")
		for _, pkg := range strings.Fields(names) {
			for _, to := range strings.Fields(arrows) {
				if _, above := drawn[to]; !above {
					t.Errorf("%s: the arrow from %s to %s runs downwards", design, pkg, to)
				}
			}
			drawn[pkg] = strings.Fields(arrows)
		}
	}
	return drawn
}
