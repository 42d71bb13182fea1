package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/mod/zip"

	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// Every name in the tree, published or not, is one that module zips, Windows and
// file systems that do not tell a from A allow.
func TestEveryNameIsAllowedEverywhere(t *testing.T) {
	checked := 0
	for _, tree := range here(t) {
		all, err := files(filepath.Join(root, tree.dir))
		if err != nil {
			t.Fatalf("files: %v", err)
		}
		found, err := zip.CheckFiles(all)
		if err != nil {
			t.Errorf("%s: %v", tree.dir, err)
		}
		checked += len(found.Valid)
	}
	if checked < 400 {
		t.Errorf("%d files: this is not the whole tree", checked)
	}
}

// Each module of the tree can be published: all require one version of the core,
// no go.mod replaces anything, and the zips can be made.
func TestEveryModuleCanBePublished(t *testing.T) {
	all, version := here(t), releasing(t)
	for _, tree := range all {
		for _, problem := range tree.problems(root, version) {
			t.Errorf("not ready: %v", problem)
		}
	}
	for _, dir := range published {
		if !slices.ContainsFunc(all, func(tree tree) bool { return tree.dir == dir }) {
			t.Errorf("there is no module in %s", dir)
		}
	}
}

// A module that requires the core is built with the core of this tree.
func TestEachNestedModuleHasAWorkspaceOfItsOwn(t *testing.T) {
	for _, tree := range here(t) {
		_, err := os.Stat(filepath.Join(root, tree.dir, "go.work"))
		if wants := tree.requires() != ""; wants != (err == nil) {
			t.Errorf("%s: it requires the core: %v; its go.work: %v", tree.dir, wants, err)
		}
	}
}

func here(t *testing.T) []tree {
	t.Helper()
	all, err := trees(root)
	if err != nil {
		t.Fatalf("trees: %v", err)
	}
	return all
}

// releasing is the version of the core that this tree is on the way to: the one
// that its modules require.
func releasing(t *testing.T) string {
	t.Helper()
	for _, tree := range here(t) {
		if version := tree.requires(); version != "" {
			return version
		}
	}
	t.Fatal("no module requires the core")
	return ""
}
