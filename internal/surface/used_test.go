package surface

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// core are the packages whose every exported name must be used by a user.
var core = []string{"engine", "instance", "lease", "keeper"}

// users are the folders of programs that use the core as anybody does. Their tests do not
// count, but for the Examples.
var users = []string{
	"cmd/holdfast", "doctor", "debughttp", "holdfasttest", "promholdfast", "otelholdfast",
	"examples/cron", "examples/fencedsql", "examples/gocron", "examples/httplock", "examples/leader", "examples/quickstart", "examples/sentinel", "examples/workers",
}

// engines are the names by which the engine alone drives the rest, each with the
// reason why it is exported: a name, and all that begins with it and a dot. This list
// only gets shorter.
var engines = map[string]string{
	"instance.Command":            "a message to the actor, which users see at work in the package's picture: its kinds cast Votes, and an alias would hide those",
	"instance.Acquire":            "a Command",
	"instance.Several":            "what an Acquire of several locks has besides",
	"instance.AnyOf":              "what an Acquire of some of several locks has besides",
	"instance.BellToken":          "what their bell has, by which it is released",
	"instance.Release":            "a Command",
	"instance.Renew":              "a Command",
	"instance.Renewal":            "one lease of a Renew",
	"instance.EncodeRenewals":     "encodes a Renew once for all instances",
	"instance.MaxRenewals":        "how many there may be in it",
	"instance.AskOnly":            "what a Renewal asks for to change nothing",
	"instance.Inspect":            "a Command",
	"instance.Enqueue":            "a Command",
	"instance.KeepPlaces":         "a Command",
	"instance.LeaveQueue":         "a Command",
	"instance.MaxPlaces":          "how many places there may be in a KeepPlaces",
	"instance.Place":              "what these are about",
	"instance.Standing":           "what they are answered",
	"instance.PlaceCaster":        "takes it: the engine's place",
	"instance.Fencing":            "what a Command about a fenced lock has besides",
	"instance.MaxFence":           "the highest",
	"instance.Caster":             "takes the votes: the engine's ballot",
	"instance.RenewCaster":        "takes those on many leases",
	"instance.Set":                "what the instances of one engine know of each other",
	"instance.NewSet":             "makes it",
	"instance.Observer":           "what the engine is told: its Trace and its log are the user's side of it",
	"instance.Instance.Claim":     "one engine an instance",
	"instance.Instance.Disclaim":  "takes it back",
	"instance.Instance.Run":       "the actor's life",
	"instance.Instance.Close":     "its end",
	"instance.Instance.Absent":    "whether a Command need not be posted",
	"instance.Instance.Post":      "a Command to the actor",
	"instance.Instance.Watch":     "a waiter that the server wakes",
	"instance.Instance.WatchHeld": "a holder that the server tells of its loss",
	"instance.Instance.Unwatch":   "its end",
	"instance.Instance.Health":    "what Engine.Instances shows",
	"instance.Instance.Vote":      "the vote of Engine.AwaitQuorum",
	"keeper.Keeper":               "the engine's scheduling loop: a package of its own, so that it knows neither Redis nor the engine",
	"keeper.New":                  "makes it",
	"keeper.Entry":                "what the engine puts into its care",
	"keeper.Outcome":              "what the engine tells it of a renewal",
	"keeper.Look":                 "what the engine's Snapshot sees of an entry",
	"lease.Control":               "the engine's end of a Lease",
	"lease.Grant":                 "what the engine begins a Lease with",
	"lease.Backend":               "what the engine implements for its Leases",
	"instance.LookAtQueue":        "a Command",
	"instance.Proclaim":           "a Command",
	"instance.Retract":            "a Command",
	"instance.LookAtLeader":       "a Command",
	"instance.CloseShared":        "a Command",
	"instance.CountReaders":       "a Command",
	"instance.Sharing":            "what a Command of a lock has that is shared",
	"instance.SharingOf":          "makes it",
	"instance.SharedMark":         "what a refusal may say of the holder",
	"instance.WritersMark":        "the same",
	"instance.Vote.Readers":       "what Engine.Inspect counts, for those who look at single votes",
	"instance.AcquireEach":        "a Command",
	"instance.EachItem":           "what it asks for",
	"instance.EachCaster":         "what takes its votes",
	"instance.EncodeAcquires":     "what it sends, once for all instances",
	"instance.ReleaseEach":        "a Command",
	"instance.ReleaseItem":        "what it is about",
	"instance.EncodeReleases":     "what it sends, once for all instances",
	"instance.MaxEach":            "how many locks it may be about",
	"lease.BackendOf":             "how Engine.ReleaseEach knows its leases",
	"instance.QueueLook":          "what it is answered",
}

// called are the methods that packages fmt, errors, log/slog and encoding/json call.
var called = []string{"Error", "Format", "GoString", "LogValue", "MarshalJSON", "MarshalText", "String", "Unwrap"}

// TestEveryNameIsUsedByAUser fails for an exported name of the core that nobody uses:
// what is published must be kept, so what nobody needs is not published.
func TestEveryNameIsUsedByAUser(t *testing.T) {
	w := open(t, "./cmd/...", "./examples/...")
	used := w.usedBy(t)
	kept := make(map[string]bool) // reasons that are needed
	for object, name := range w.names {
		if !slices.Contains(core, object.Pkg().Name()) || used[object] || isCalled(object) {
			continue
		}
		reason, is := reasonFor(name)
		if !is {
			t.Errorf("%s is used by no example, no doc block, and none of %q: use it, hide it, or say in this test why the engine needs it", name, users)
		}
		kept[reason] = true
	}
	for name := range engines {
		if !kept[name] {
			t.Errorf("%q is on the list of the engine's own names, and need not be: delete the line", name)
		}
	}
}

func isCalled(object types.Object) bool {
	_, is := object.(*types.Func)
	return is && slices.Contains(called, object.Name())
}

// reasonFor returns the entry of engines that a name falls under.
func reasonFor(name string) (entry string, is bool) {
	for entry := name; ; {
		if _, is := engines[entry]; is {
			return entry, true
		}
		dot := strings.LastIndexByte(entry, '.')
		if dot < 0 {
			return "", false
		}
		entry = entry[:dot]
	}
}

// uses is what type-checking the users finds.
type uses struct {
	*world
	used map[types.Object]bool
}

// usedBy type-checks the users, and returns what of the core they use.
func (w *world) usedBy(t *testing.T) map[types.Object]bool {
	t.Helper()
	u := &uses{w, make(map[types.Object]bool)}
	root := filepath.Join("..", "..")
	for _, folder := range users {
		u.folder(t, filepath.Join(root, folder))
	}
	examples, _ := filepath.Glob(filepath.Join(root, "*", "example*_test.go"))
	if len(examples) == 0 {
		t.Fatal("there are no Examples")
	}
	packages := make(map[string][]*ast.File) // by folder
	for _, path := range examples {
		packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], u.parse(t, path, nil))
	}
	for _, files := range packages {
		u.check(files)
	}
	var docs []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		docs = append(docs, found...)
	}
	for _, path := range docs {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatalf("os.ReadFile: %v", err)
		}
		for _, block := range blockOfGo.FindAllStringSubmatch(string(text), -1) {
			u.check([]*ast.File{u.parse(t, path, blockSource(block[1]))})
		}
	}
	return u.used
}

// folder notes what a package uses.
func (u *uses) folder(t *testing.T, path string) {
	t.Helper()
	pkg, err := build.ImportDir(path, 0)
	if err != nil {
		t.Fatalf("build.ImportDir: %v", err)
	}
	var files []*ast.File
	for _, name := range pkg.GoFiles {
		files = append(files, u.parse(t, filepath.Join(path, name), nil))
	}
	u.check(files)
}

// parse parses a file, or the text that takes its place.
func (u *uses) parse(t *testing.T, name string, text any) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(u.positions, name, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("parser.ParseFile: %v", err)
	}
	return file
}

// check notes what the files of a package use. That they compile is for others to
// say: what is not found here, such as another module, is passed over.
func (u *uses) check(files []*ast.File) {
	info := &types.Info{Uses: make(map[*ast.Ident]types.Object)}
	conf := types.Config{Importer: u.importer, Error: func(error) {}}
	_, _ = conf.Check("user", u.positions, files, info)
	for object := range maps.Values(info.Uses) {
		u.note(object)
	}
}

// note notes the use of an object, and of the types that one must know to use it:
// those of its parameters, its results or its value. With a type go its constants, and
// the methods of an interface, which a user may implement.
func (u *uses) note(object types.Object) {
	name := u.names[object]
	if name == "" || u.used[object] {
		return
	}
	u.used[object] = true
	if kind, is := object.(*types.TypeName); is {
		u.noteMembers(kind)
		return
	}
	u.noteType(object.Type())
}

func (u *uses) noteMembers(kind *types.TypeName) {
	for other := range u.names {
		if _, is := other.(*types.Const); is && types.Identical(other.Type(), kind.Type()) {
			u.used[other] = true
		}
	}
	if methods, is := kind.Type().Underlying().(*types.Interface); is {
		for method := range methods.ExplicitMethods() {
			u.used[method] = true
		}
	}
}

func (u *uses) noteType(t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		u.note(t.Obj())
		u.noteType(types.Unalias(t))
	case *types.Named:
		u.note(t.Obj())
	case *types.Signature:
		for v := range t.Params().Variables() {
			u.noteType(v.Type())
		}
		for v := range t.Results().Variables() {
			u.noteType(v.Type())
		}
	case interface{ Elem() types.Type }: // a pointer, a slice, a map, a channel
		u.noteType(t.Elem())
	}
}

var blockOfGo = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// blockSource makes a file of a block of Go: it is one, or declarations, or
// statements. What may be used without saying so is what docs_test gives.
func blockSource(text string) string {
	parses := func(text string) bool {
		_, err := parser.ParseFile(token.NewFileSet(), "", text, parser.SkipObjectResolution)
		return err == nil
	}
	if parses(text) {
		return text
	}
	imports := "package block\nimport \"context\"\n"
	for _, name := range public {
		imports += fmt.Sprintf("import %q\n", module+"/"+name)
	}
	if declarations := imports + text; parses(declarations) {
		return declarations
	}
	return imports + "func _(ctx context.Context, locks *engine.Engine, held *lease.Lease) error {\n" + text + "\nreturn nil\n}\n"
}

// TestAnUnusedNameIsFound: the test of the names would see one that nobody uses.
func TestAnUnusedNameIsFound(t *testing.T) {
	w := open(t)
	u := &uses{w, make(map[types.Object]bool)}
	u.check([]*ast.File{u.parse(t, "x.go", blockSource("s, err := locks.Inspect(ctx, \"r\")\n_ = s.Held\n"))})
	named := make(map[string]bool)
	for object := range u.used {
		named[w.names[object]] = true
	}
	for name, want := range map[string]bool{
		"engine.Engine": true, "engine.Engine.Inspect": true, "engine.Status": true, "engine.Status.Held": true, "lease.Lease": true,
		"engine.Status.Owner": false, "engine.Engine.Adopt": false, "engine.Option": false,
	} {
		if named[name] != want {
			t.Errorf("%s is used: %v, want %v", name, named[name], want)
		}
	}
}
