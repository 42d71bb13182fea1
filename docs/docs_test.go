package docs_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	// What the blocks use. A test that does not depend on it would be taken from
	// the cache when it changes.
	_ "github.com/cenkalti/backoff/v4"
	_ "github.com/redis/go-redis/v9"

	_ "github.com/holdfast-go/holdfast/engine"
	_ "github.com/holdfast-go/holdfast/holdfasttest"
	_ "github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
	_ "github.com/holdfast-go/holdfast/lease"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// imports are the packages that a block may use without saying so.
var imports = map[string]string{
	"backoff":      "github.com/cenkalti/backoff/v4",
	"context":      "context",
	"engine":       "github.com/holdfast-go/holdfast/engine",
	"errors":       "errors",
	"fmt":          "fmt",
	"holdfasttest": "github.com/holdfast-go/holdfast/holdfasttest",
	"instance":     "github.com/holdfast-go/holdfast/instance",
	"lease":        "github.com/holdfast-go/holdfast/lease",
	"log":          "log",
	"os":           "os",
	"redis":        "github.com/redis/go-redis/v9",
	"slog":         "log/slog",
	"sql":          "database/sql",
	"synctest":     "testing/synctest",
	"testing":      "testing",
	"time":         "time",
	"tls":          "crypto/tls",
}

// given are the variables that a block of statements may use without declaring
// them. It is the body of a function that returns an error.
const given = `ctx context.Context, locks *engine.Engine, held *lease.Lease, client *redis.Client, db *sql.DB, work <-chan struct{}`

// others are the languages of blocks that are not Go.
var others = []string{"bash", "console", "dockerfile", "json", "lua", "make", "python", "redis", "sh", "sql", "text", "toml", "yaml"}

// Every block of Go in the docs, in the README and beside it compiles.
func TestGoBlocksCompile(t *testing.T) {
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatalf("filepath.Glob: %v", err)
	}
	if !slices.Contains(files, "from-aioredlock.md") {
		t.Fatalf("this is not the folder of the docs: it has %q", files)
	}
	above, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatalf("filepath.Glob: %v", err)
	}
	files = append(files, above...)
	var all []block
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("os.ReadFile: %v", err)
		}
		found, err := blocks(file, string(text))
		if err != nil {
			t.Errorf("blocks: %v", err)
		}
		t.Logf("%s: %d blocks of Go", file, len(found))
		all = append(all, found...)
	}
	if err := compile(t, all); err != nil {
		t.Errorf("compile: %v", err)
	}
}

// Redis takes the configuration that we publish.
func TestRedisTakesTheConfiguration(t *testing.T) {
	text, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatalf("os.ReadFile: %v", err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Redis's own configuration\n")
	_, config, _ := strings.Cut(section, "```text\n")
	config, _, found := strings.Cut(config, "```\n")
	var args []string
	for line := range strings.Lines(config) {
		if name, value, is := strings.Cut(strings.TrimSpace(line), " "); is && name != "#" {
			args = append(args, "--"+name, strings.Trim(value, `"`))
		}
	}
	if !found || len(args) == 0 {
		t.Fatal("there is no configuration")
	}
	s := redistest.Start(t, args...)
	for n := 0; n < len(args); n += 2 {
		name := strings.TrimPrefix(args[n], "--")
		got, _ := s.MustDo("CONFIG", "GET", name).([]any)
		want := strings.Replace(args[n+1], "200mb", fmt.Sprint(200<<20), 1)
		if len(got) != 2 || got[1] != want {
			t.Errorf("%s is %v instead of %q", name, got, want)
		}
	}
}

// What would keep a block of Go from being compiled is an error.
func TestNoBlockIsSkipped(t *testing.T) {
	for name, text := range map[string]string{
		"no language":      "```\nx := 1\n```\n",
		"unknown language": "```golang\nx := 1\n```\n",
		"capitals":         "```Go\nx := 1\n```\n",
		"no end":           "text\n```go\nx := 1\n",
		"in a quote":       "> ```go\n> x := 1\n> ```\n",
		"in a list":        "- ```go\n  x := 1\n  ```\n",
		"tildes in text":   "see ~~~go x ~~~\n",
		"empty":            "```go\n\n```\n",
	} {
		if found, err := blocks("x.md", text); err == nil || !strings.HasPrefix(err.Error(), "x.md:") {
			t.Errorf("%s: %d blocks, error %v", name, len(found), err)
		}
	}
	found, err := blocks("x.md", "```go\na\n```\n\n   ~~~~go\n   b\n   ~~~\n   c\n   ~~~~\n```text\nd\n```\n")
	if err != nil || len(found) != 2 || found[0].text != "a\n" || found[1].text != "b\n~~~\nc\n" || found[1].line != 6 {
		t.Errorf("got the blocks %+v, %v, want a, and b with a fence in it, of line 6", found, err)
	}
}

// A block that does not compile is found, whatever its kind, and by its line.
func TestAWrongBlockIsFound(t *testing.T) {
	for name, text := range map[string]string{
		"statements":   "```go\nerr := locks.Nope(ctx)\nreturn err\n```\n",
		"declarations": "```go\nfunc f(l *lease.Lease) error { return l.Nope() }\n```\n",
		"package":      "```go\npackage main\n\nfunc main() { nope() }\n```\n",
		"no Go at all": "```go\nasync with lock\n```\n",
		"unused":       "```go\nx := 1\n```\n",
		"unknown":      "```go\nnope.Nope()\n```\n",
	} {
		found, err := blocks("x.md", "# X\n\n"+text)
		if err != nil {
			t.Fatalf("blocks: %v", err)
		}
		if err := compile(t, found); err == nil || !regexp.MustCompile(`x\.md:[46]`).MatchString(err.Error()) {
			t.Errorf("%s: got %v, want an error that names the line in x.md", name, err)
		}
	}
}

// block is one fenced block of Go.
type block struct {
	file string
	line int // of its first line
	text string
}

var fence = regexp.MustCompile("^([ ]*)(`{3,}|~{3,})[ ]*(.*)$")

// blocks returns the blocks of Go in a Markdown file. What it cannot classify is
// an error.
func blocks(file, text string) (found []block, err error) {
	var errs []error
	refuse := func(line int, why string) {
		errs = append(errs, fmt.Errorf("%s:%d: %s", file, line, why))
	}
	var open []string // the fence of the block that we are in, and what it says
	var body strings.Builder
	start := 0
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil && m == nil:
			if strings.Contains(line, "```") || strings.Contains(line, "~~~") {
				refuse(number, "a fence must begin its line: nobody would check this block")
			}
		case open == nil:
			open, start = m, number+1
			body.Reset()
			if lang := language(m); lang != "go" && !slices.Contains(others, lang) {
				refuse(number, fmt.Sprintf("a block must say what it is: go, or one of %q, but not %q", others, lang))
			}
		case m != nil && strings.HasPrefix(m[2], open[2]) && m[3] == "":
			if language(open) == "go" {
				found = append(found, block{file, start, body.String()})
				if strings.TrimSpace(body.String()) == "" {
					refuse(start, "the block is empty")
				}
			}
			open = nil
		default:
			body.WriteString(strings.TrimPrefix(line, open[1]) + "\n")
		}
	}
	if open != nil {
		refuse(start-1, "the block has no end")
	}
	return found, errors.Join(errs...)
}

// language is the first word behind a fence.
func language(fence []string) string {
	word, _, _ := strings.Cut(fence[3], " ")
	return word
}

// compile type-checks blocks, each as a package of its own, against the packages
// of this module and its dependencies as the go command builds them.
func compile(t *testing.T, blocks []block) error {
	t.Helper()
	if len(blocks) == 0 {
		return errors.New("there are no blocks")
	}
	positions := token.NewFileSet()
	var errs []error
	var files []*ast.File
	wanted := make(map[string]bool)
	for _, b := range blocks {
		file, err := parser.ParseFile(positions, b.file, b.source(), parser.SkipObjectResolution)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, spec := range file.Imports {
			if path, err := strconv.Unquote(spec.Path.Value); err == nil {
				wanted[path] = true
			}
		}
		files = append(files, file)
	}
	built := exports(t, slices.Sorted(maps.Keys(wanted)))
	conf := types.Config{
		Importer: importer.ForCompiler(positions, "gc", func(path string) (io.ReadCloser, error) {
			if built[path] == "" {
				return nil, fmt.Errorf("the go command cannot build it")
			}
			return os.Open(built[path])
		}),
		Error: func(err error) { errs = append(errs, err) },
	}
	for _, file := range files {
		_, _ = conf.Check("block", positions, []*ast.File{file}, nil) // what it says, Error has heard
	}
	return errors.Join(errs...)
}

// exports has the go command build packages, and returns the files of what each
// exports.
func exports(t *testing.T, paths []string) map[string]string {
	t.Helper()
	if len(paths) == 0 {
		return nil
	}
	list := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-export", "-f", "{{.ImportPath}}={{.Export}}"}, paths...)...)
	var complaints strings.Builder
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.String())
	}
	built := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		built[path] = file
	}
	return built
}

// source is the block as a file: as it is if it has a package clause, else in one,
// as declarations if it is that, and as the body of a function otherwise.
func (b block) source() string {
	at := fmt.Sprintf("//line %s:%d\n", b.file, b.line)
	if _, err := parser.ParseFile(token.NewFileSet(), "", b.text, parser.PackageClauseOnly); err == nil {
		return at + b.text
	}
	declarations := at + b.text
	if file, err := parse(declarations); err == nil {
		return "package block\n" + importing(file) + declarations
	}
	statements := fmt.Sprintf("func _(%s) error {\n{\n%s%s}\nreturn nil\n}\n", given, at, b.text)
	file, err := parse(statements)
	if err != nil {
		file, _ = parse("func _(" + given + ") {}") // the compiler will say what is wrong, and where
	}
	return "package block\n" + importing(file) + statements
}

func parse(declarations string) (*ast.File, error) {
	return parser.ParseFile(token.NewFileSet(), "", "package block\n"+declarations, 0)
}

// importing is the imports that a file leaves out.
func importing(file *ast.File) string {
	missing := make(map[string]string)
	ast.Inspect(file, func(n ast.Node) bool {
		if selector, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := selector.X.(*ast.Ident); ok && imports[x.Name] != "" {
				missing[x.Name] = imports[x.Name]
			}
		}
		return true
	})
	for _, spec := range file.Imports {
		for name, path := range missing {
			if spec.Path.Value == `"`+path+`"` {
				delete(missing, name)
			}
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(missing)) { // the same text every time: the go command caches
		fmt.Fprintf(&b, "import %s %q\n", name, missing[name])
	}
	return b.String()
}
