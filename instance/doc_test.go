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

// wayOfAMessage is a plain acquire's way from Post to the wire: every call of ours that it makes, in order.
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
	{"act", "sendAll", "actor.go"},
	{"sendAll", "weight", "actor.go"},
	{"sendAll", "send", "actor.go"},
	{"send", "sending", "actor.go"},
	{"sending", "nativeDeletion", "link.go"},
	{"sending", "raisesFences", "link.go"},
	{"sending", "least", "link.go"},
	{"sending", "left", "guard.go"},
	{"send", "pipeline", "pipeline.go"},
	{"send", "fill", "pipeline.go"},
	{"fill", "fold", "pipeline.go"},
	{"fold", "closeFor", "pipeline.go"},
	{"fold", "raise", "pipeline.go"},
	{"raise", "mayRaise", "pipeline.go"},
	{"fold", "close", "pipeline.go"},
	{"fill", "encode", "pipeline.go"},
	{"encode", "appendCommand", "acquire.go"},
	{"appendCommand", "send", "acquire.go"},
	{"send", "onStage", "acquire.go"},
	{"appendCommand", "formIn", "acquire.go"},
	{"appendCommand", "plain", "acquire.go"},
	{"plain", "appendSet", "acquire.go"},
	{"appendSet", "AppendArg", "internal/resp/resp.go"},
	{"appendSet", "AppendNumber", "internal/resp/resp.go"},
	{"send", "write", "underway.go"},
	{"write", "putUnderWay", "underway.go"},
}

// offTheWay are the other calls that those on the way make, and when: never for a plain acquire that is
// sent for the first time, to a server on its own that is up.
var offTheWay = map[string]string{
	"route": "to a cluster", "isPlain": "of a release", "release": "of a release", "isNative": "of a release", "hold": "of a release",
	"withdraw": "of an undo", "mayHave": "behind a release", "next": "of several releases",
	"refuse": "a full mailbox, or a server that is down", "owe": "a full mailbox, or a server that is down",
	"goesWhole": "of many locks", "takeApart": "of many locks", "appendSeveral": "of several locks", "appendAnyOf": "of several locks", "formOfSeveral": "of several locks",
	"isHealing": "with fencing", "last": "with fencing", "join": "with fencing", "fenced": "with fencing", "raising": "with fencing",
	"heals": "after a restart", "vote": "when it is not sent",
	"scripted": "when it is asked for how long", "appendAdoption": "of an adoption", "shared": "of a reader", "text": "of a reader",
	"discard": "when nothing is left to be sent", "halt": "the server is no master any more",
	"watching": "when the actor begins", "leave": "when the actor ends", "connect": "without a link",
	"ended": "the link has ended", "repair": "the link has ended", "repay": "behind it",
	"Cast": "when it is not sent", "Close": "what cannot be written, or when the actor ends",
}

// The way of a message is as the package's comment says: a reader that follows it stays eight times in a
// file, and comes back to one twice at most. The table has all calls, so that none is made elsewhere unseen.
func TestTheWayOfAMessage(t *testing.T) {
	files := make(map[string]*ast.File)
	ours := make(map[string]bool) // names of all funcs of this package
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		for _, d := range parsed(t, path).Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				ours[fn.Name.Name] = true
			}
		}
	}
	var stays []string
	returns := 0
	onTheWay := make(map[string]bool)
	for _, call := range wayOfAMessage {
		onTheWay[call.called] = true
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
	for _, call := range wayOfAMessage {
		for _, fn := range funcsOf(files[call.file], call.called) {
			for name := range called(fn) {
				if ours[name] && !onTheWay[name] && offTheWay[name] == "" {
					t.Errorf("%s calls %s, which is neither on the way nor said to be off it", call.called, name)
				}
			}
		}
	}
	for name, when := range offTheWay {
		if !ours[name] {
			t.Errorf("nothing is called %s, which is said to be off the way: %s", name, when)
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
func mentions(f *ast.FuncDecl, name string) bool { return called(f)[name] }

// called are the names of what a func calls.
func called(f *ast.FuncDecl) map[string]bool {
	names := make(map[string]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			switch fun := call.Fun.(type) {
			case *ast.Ident:
				names[fun.Name] = true
			case *ast.SelectorExpr:
				names[fun.Sel.Name] = true
			}
		}
		return true
	})
	return names
}
