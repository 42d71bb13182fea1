package main

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
)

const core = "github.com/holdfast-go/holdfast"

// published are the folders of the modules that users get, in the order in which
// they are tagged: the core first.
var published = []string{".", "promholdfast", "otelholdfast"}

// tag is the name of the git tag that makes the folder's module a version.
func tag(dir, version string) string { return path.Join(dir, version) }

// tree is a module of the tree.
type tree struct {
	dir string // below the root, with slashes
	mod *modfile.File
}

// trees returns all modules below root, the core too.
func trees(root string) (all []tree, err error) {
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(unpublished, entry.Name()):
			return fs.SkipDir
		case entry.Name() != "go.mod":
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		mod, err := modfile.Parse(file, text, nil)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		all = append(all, tree{filepath.ToSlash(dir), mod})
		return err
	})
	return all, err
}

// requires returns the version of the core that the module requires; "" is none.
func (t tree) requires() string {
	for _, r := range t.mod.Require {
		if r.Mod.Path == core {
			return r.Mod.Version
		}
	}
	return ""
}
