package mutants

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Compiling and linking a test costs more than running it, so that the mutants share their programs. In a woven file
// each function that a mutant changes stands once as it is and once for each such mutant; the one that stands for the
// real function asks which mutant is on, and calls that mutant's:
//
//	func (e *Engine) reserve(n int) int { if mutant__ == 7 { return e.reserve__7(n) }; … as it is … }
//	func (e *Engine) reserve__7(n int) int { … as the mutant has it … }
//
// The number is in the environment, so that one program is every mutant in turn, and the real code without. A script
// that is changed takes the place of the real one where the embedded files are read. A mutant that changes more than
// the bodies of functions cannot be woven: it gets a program of its own.
const variable = "HOLDFAST_MUTANT"

// weaving is the woven text of files, and the mutants that are in it.
type weaving struct {
	files map[string]string         // by path from the root
	fset  *token.FileSet            // of what is parsed
	added map[string][]string       // functions to be appended, by file
	heads map[string]map[int]string // what is inserted, by file and offset
	embed map[string]map[int]string // changed scripts, by package folder: its Go text, by mutant
}

// weave returns the files in which all those mutants are that can be together, and which these are: numbers are
// indices of the table, counted from 1.
func weave(t *testing.T) (files map[string]string, woven []int) {
	t.Helper()
	w := &weaving{
		files: make(map[string]string), fset: token.NewFileSet(), added: make(map[string][]string),
		heads: make(map[string]map[int]string), embed: make(map[string]map[int]string),
	}
	for i, m := range table {
		if w.take(t, i+1, m.plant(t)) {
			woven = append(woven, i+1)
		}
	}
	w.finish(t)
	return w.files, woven
}

// take weaves one mutant in, and reports whether that can be done.
func (w *weaving) take(t *testing.T, number int, planted map[string]string) bool {
	var changes []change
	for file, text := range planted {
		if path.Ext(file) == ".lua" {
			continue
		}
		found, ok := w.changes(t, file, read(t, file), text)
		if !ok || strings.HasPrefix(file, "cmd/") { // its scripts have an environment of their own
			return false
		}
		changes = append(changes, found...)
	}
	for file, text := range planted {
		if path.Ext(file) == ".lua" {
			w.replace(number, file, text)
		}
	}
	for _, c := range changes {
		w.dispatch(number, c)
	}
	return true
}

// change is a function that a mutant changes.
type change struct {
	file    string
	real    *ast.FuncDecl
	text    string // the mutant's, from its name on
	head    string // what stands before its name
	results bool
}

// changes lists the functions of a file that differ, and reports whether nothing else does.
func (w *weaving) changes(t *testing.T, file, text, mutated string) ([]change, bool) {
	before, after := w.decls(t, file, text), w.decls(t, file, mutated)
	if len(before) != len(after) {
		return nil, false
	}
	var found []change
	for i, b := range before {
		was, is := w.slice(text, b), w.slice(mutated, after[i])
		if was == is {
			continue
		}
		real, isFunc := b.(*ast.FuncDecl)
		planted, stillFunc := after[i].(*ast.FuncDecl)
		if !isFunc || !stillFunc || !named(real.Type.Params) || !named(real.Recv) ||
			w.signature(text, real) != w.signature(mutated, planted) {
			return nil, false
		}
		name := w.fset.Position(planted.Name.End()).Offset
		start, end := w.fset.Position(planted.Pos()).Offset, w.fset.Position(planted.End()).Offset
		found = append(found, change{
			file: file, real: real, head: mutated[start:name], text: mutated[name:end],
			results: real.Type.Results != nil,
		})
	}
	return found, true
}

func (w *weaving) decls(t *testing.T, file, text string) []ast.Decl {
	t.Helper()
	f, err := parser.ParseFile(w.fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parsing %s: %v", file, err)
	}
	return f.Decls
}

func (w *weaving) slice(text string, n ast.Node) string {
	return text[w.fset.Position(n.Pos()).Offset:w.fset.Position(n.End()).Offset]
}

func (w *weaving) signature(text string, f *ast.FuncDecl) string {
	return text[w.fset.Position(f.Pos()).Offset:w.fset.Position(f.Body.Pos()).Offset]
}

// named reports whether each has a name by which it can be handed on.
func named(fields *ast.FieldList) bool {
	if fields == nil {
		return true
	}
	for _, f := range fields.List {
		if len(f.Names) == 0 || slices.ContainsFunc(f.Names, func(n *ast.Ident) bool { return n.Name == "_" }) {
			return false
		}
	}
	return true
}

// dispatch has the real function call the mutant's, and appends that one.
func (w *weaving) dispatch(number int, c change) {
	var args []string
	for _, field := range c.real.Type.Params.List {
		_, variadic := field.Type.(*ast.Ellipsis)
		for _, n := range field.Names {
			args = append(args, n.Name+map[bool]string{true: "..."}[variadic])
		}
	}
	own := c.real.Name.Name + "__" + strconv.Itoa(number)
	call := own + "(" + strings.Join(args, ", ") + ")"
	if c.real.Recv != nil {
		call = c.real.Recv.List[0].Names[0].Name + "." + call
	}
	if c.results {
		call = "return " + call
	} else {
		call += "; return"
	}
	at := w.fset.Position(c.real.Body.Lbrace).Offset + 1
	if w.heads[c.file] == nil {
		w.heads[c.file] = make(map[int]string)
	}
	w.heads[c.file][at] += fmt.Sprintf(" if mutant__ == %d { %s };", number, call)
	w.added[c.file] = append(w.added[c.file], c.head+"__"+strconv.Itoa(number)+c.text)
}

// replace puts a script in the place of the one that is embedded in the package.
func (w *weaving) replace(number int, file, text string) {
	dir := path.Dir(file) // the package that embeds it
	if w.embed[dir] == nil {
		w.embed[dir] = make(map[int]string)
	}
	w.embed[dir][number] += fmt.Sprintf("{%d, %q}: %q,\n", number, path.Base(file), text)
}

// reading is how a package reads its embedded files.
const reading = "sources.ReadFile("

// finish puts the texts together.
func (w *weaving) finish(t *testing.T) {
	packages := make(map[string]string) // their names, by folder
	for file, heads := range w.heads {
		text := read(t, file)
		for _, at := range slices.SortedFunc(maps.Keys(heads), func(a, b int) int { return cmp.Compare(b, a) }) {
			text = text[:at] + heads[at] + text[at:]
		}
		w.files[file] = text + "\n" + strings.Join(w.added[file], "\n\n") + "\n"
		packages[path.Dir(file)] = w.packageOf(t, file)
	}
	for dir := range w.embed {
		w.embedded(t, dir, packages)
	}
	for dir, name := range packages {
		w.files[path.Join(dir, "mutant__.go")] = "package " + name + "\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\n" +
			"var mutant__, _ = strconv.Atoi(os.Getenv(\"" + variable + "\"))\n"
	}
}

// embedded has a package read the scripts of the mutant that is on.
func (w *weaving) embedded(t *testing.T, dir string, packages map[string]string) {
	files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
	if err != nil {
		t.Fatalf("listing %s: %v", dir, err)
	}
	readers := 0
	for _, real := range files {
		file := path.Join(dir, filepath.Base(real))
		text, ok := w.files[file]
		if !ok {
			text = read(t, file)
		}
		if !strings.Contains(text, reading) || strings.HasSuffix(file, "_test.go") {
			continue
		}
		readers++
		w.files[file] = strings.ReplaceAll(text, reading, "readFile__(")
		packages[dir] = w.packageOf(t, file)
	}
	if readers != 1 {
		t.Fatalf("%d files of %s have %q: one is to read the scripts", readers, dir, reading)
	}
	numbers := slices.Sorted(maps.Keys(w.embed[dir]))
	var entries strings.Builder
	for _, n := range numbers {
		entries.WriteString(w.embed[dir][n])
	}
	w.files[path.Join(dir, "mutant_files__.go")] = "package " + packages[dir] + "\n\nimport \"path\"\n\n" +
		"type file__ struct {\n\tmutant int\n\tname string\n}\n\n" +
		"var files__ = map[file__]string{\n" + entries.String() + "}\n\n" +
		"func readFile__(name string) ([]byte, error) {\n" +
		"\tif text, ok := files__[file__{mutant__, path.Base(name)}]; ok {\n\t\treturn []byte(text), nil\n\t}\n" +
		"\treturn sources.ReadFile(name)\n}\n"
}

func (w *weaving) packageOf(t *testing.T, file string) string {
	t.Helper()
	f, err := parser.ParseFile(w.fset, file, read(t, file), parser.PackageClauseOnly)
	if err != nil {
		t.Fatalf("parsing %s: %v", file, err)
	}
	return f.Name.Name
}
