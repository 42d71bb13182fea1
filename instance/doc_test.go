package instance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// wayOfAMessage is an acquire's way from Post to the wire, call by call. What it does not pass is
// left out: a full mailbox, a cluster, a message that is sent again.
var wayOfAMessage = []struct{ by, called, file string }{
	{"", "Post", "mailbox.go"},
	{"Post", "reset", "mailbox.go"},
	{"Post", "put", "mailbox.go"},
	{"put", "posterMaySend", "mailbox.go"},
	{"posterMaySend", "isIdle", "mailbox.go"},
	{"put", "fitSocket", "mailbox.go"},
	{"put", "accept", "mailbox.go"},
	{"accept", "room", "mailbox.go"},
	{"accept", "mayGoOut", "mailbox.go"},
	{"accept", "ring", "mailbox.go"},
	{"", "take", "mailbox.go"}, // act has called it before
	{"take", "doneSending", "mailbox.go"},
	{"take", "makesSmallPipeline", "mailbox.go"},
	{"", "act", "actor.go"},
	{"act", "sendAll", "pipeline.go"},
	{"sendAll", "send", "pipeline.go"},
	{"send", "pipeline", "pipeline.go"},
	{"send", "sending", "pipeline.go"},
	{"sending", "left", "guard.go"},
	{"send", "fill", "pipeline.go"},
	{"fill", "fold", "pipeline.go"},
	{"fold", "closeFor", "pipeline.go"},
	{"fill", "encode", "pipeline.go"},
	{"encode", "appendCommand", "acquire.go"},
	{"appendCommand", "send", "acquire.go"},
	{"appendCommand", "plain", "acquire.go"},
	{"plain", "appendSet", "acquire.go"},
	{"appendSet", "AppendArg", "internal/resp/resp.go"},
	{"appendSet", "AppendNumber", "internal/resp/resp.go"},
	{"send", "write", "pipeline.go"},
	{"write", "putUnderWay", "pipeline.go"},
}

// The way of a message is as the package's comment says: a reader that follows it stays eight times in a
// file, and comes back to one twice.
func TestTheWayOfAMessage(t *testing.T) {
	files := make(map[string]*ast.File)
	var stays []string
	returns := 0
	for _, call := range wayOfAMessage {
		if files[call.file] == nil {
			files[call.file] = parsed(t, call.file)
		}
		if funcsOf(files[call.file], call.called) == nil {
			t.Errorf("%s is not in %s", call.called, call.file)
		}
		if call.by != "" && !slices.ContainsFunc(allFuncs(files, call.by), func(f *ast.FuncDecl) bool { return mentions(f, call.called) }) {
			t.Errorf("%s does not call %s", call.by, call.called)
		}
		if len(stays) == 0 || stays[len(stays)-1] != call.file {
			if slices.Contains(stays, call.file) {
				returns++
			}
			stays = append(stays, call.file)
		}
	}
	if len(stays) > 8 || returns > 2 {
		t.Errorf("%d stays in files, of which %d are returns: want at most 8 and 2: %s", len(stays), returns, strings.Join(stays, ", "))
	}
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatalf("read doc.go: %v", err)
	}
	var told []string
	for n, m := range regexp.MustCompile(`(?m)^//  (\d)\. ([a-z/]+\.go)[:,]`).FindAllStringSubmatch(string(doc), -1) {
		if m[1] != fmt.Sprint(n+1) {
			t.Errorf("step %s of the way is the %dth that doc.go tells", m[1], n+1)
		}
		told = append(told, m[2])
	}
	if !slices.Equal(told, stays) {
		t.Errorf("doc.go tells the way through %q, it is %q", told, stays)
	}
}

func parsed(t *testing.T, file string) *ast.File {
	t.Helper()
	if strings.Contains(file, "/") {
		file = filepath.Join("..", file)
	}
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parse %s: %v", file, err)
	}
	return f
}

// funcsOf are the funcs and methods of a file that have this name.
func funcsOf(f *ast.File, name string) (all []*ast.FuncDecl) {
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == name {
			all = append(all, fn)
		}
	}
	return all
}

func allFuncs(files map[string]*ast.File, name string) (all []*ast.FuncDecl) {
	for _, f := range files {
		all = append(all, funcsOf(f, name)...)
	}
	return all
}

// mentions reports whether a func calls something of this name.
func mentions(f *ast.FuncDecl, name string) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch fun := call.Fun.(type) {
		case *ast.Ident:
			found = found || fun.Name == name
		case *ast.SelectorExpr:
			found = found || fun.Sel.Name == name
		}
		return true
	})
	return found
}
