package surface

import (
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	// What is recorded. A test that does not depend on it would be taken from the
	// cache when it changes.
	_ "github.com/holdfast-go/holdfast/debughttp"
	_ "github.com/holdfast-go/holdfast/doctor"
	_ "github.com/holdfast-go/holdfast/engine"
	_ "github.com/holdfast-go/holdfast/holdfasttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	module = "github.com/holdfast-go/holdfast"
	golden = "surface.txt"
)

// public are the packages whose exported names users may rely on.
var public = []string{"engine", "instance", "lease", "keeper", "doctor", "debughttp", "holdfasttest"}

// world is the module's packages, as the go command builds them.
type world struct {
	positions *token.FileSet
	importer  types.Importer
	names     map[types.Object]string // the public surface: "engine.Config.TTL"
}

// open builds the public packages, and what others that it is given need.
func open(t *testing.T, others ...string) *world {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	for _, name := range public {
		args = append(args, module+"/"+name)
	}
	list := exec.CommandContext(t.Context(), "go", append(args, others...)...)
	list.Dir = filepath.Join("..", "..")
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	built := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		built[path] = file
	}
	w := &world{positions: token.NewFileSet(), names: make(map[types.Object]string)}
	w.importer = importer.ForCompiler(w.positions, "gc", func(path string) (io.ReadCloser, error) { return os.Open(built[path]) })
	for _, name := range public {
		pkg, err := w.importer.Import(module + "/" + name)
		if err != nil {
			t.Fatalf("w.importer.Import: %v", err)
		}
		w.note(pkg)
	}
	return w
}

// note records the exported names of a package: its objects, and their fields and
// methods.
func (w *world) note(pkg *types.Package) {
	for _, name := range pkg.Scope().Names() {
		object := pkg.Scope().Lookup(name)
		if !object.Exported() {
			continue
		}
		full := pkg.Name() + "." + name
		w.names[object] = full
		named, ok := object.Type().(*types.Named)
		if _, isType := object.(*types.TypeName); !ok || !isType {
			continue
		}
		for method := range named.Methods() {
			w.noteMember(full, method)
		}
		switch inner := named.Underlying().(type) {
		case *types.Struct:
			for field := range inner.Fields() {
				w.noteMember(full, field)
			}
		case *types.Interface:
			for method := range inner.ExplicitMethods() {
				w.noteMember(full, method)
			}
		}
	}
}

func (w *world) noteMember(of string, object types.Object) {
	if object.Exported() {
		w.names[object] = of + "." + object.Name()
	}
}

// TestThePublicSurfaceIsAsRecorded fails when an exported name comes, goes or
// changes its type: what is recorded is what a reviewer is asked to agree to.
func TestThePublicSurfaceIsAsRecorded(t *testing.T) {
	w := open(t)
	var lines []string
	for object, name := range w.names {
		lines = append(lines, name+": "+w.describe(object))
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatalf("os.WriteFile: %v", err)
		}
	}
	recorded, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	want := strings.Split(strings.TrimSuffix(string(recorded), "\n"), "\n")
	for _, line := range lines {
		if !slices.Contains(want, line) {
			t.Errorf("new:  %s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(lines, line) {
			t.Errorf("gone: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("if that is meant: UPDATE=1 go test ./internal/surface, and say in CHANGELOG.md what users must change")
	}
}

// describe says of what kind and type an exported name is.
func (w *world) describe(object types.Object) string {
	short := func(pkg *types.Package) string { return pkg.Name() }
	switch object := object.(type) {
	case *types.TypeName:
		under := object.Type().Underlying()
		switch under.(type) {
		case *types.Struct:
			return "struct"
		case *types.Interface:
			return "interface"
		}
		return "type " + types.TypeString(under, short)
	case *types.Const:
		return "const " + types.TypeString(object.Type(), short) + " = " + object.Val().String()
	case *types.Var:
		if object.IsField() {
			return "field " + types.TypeString(object.Type(), short)
		}
		return "var " + types.TypeString(object.Type(), short)
	}
	return types.TypeString(object.Type(), short)
}
