package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// unpublished are the folders that no clone has: git's own, and the servers of other versions (tools/servers.sh).
var unpublished = []string{".git", ".servers"}

// zipTo makes a module's zip, as a proxy does.
func zipTo(w io.Writer, dir string, m module.Version) error {
	all, err := files(dir)
	if err != nil {
		return err
	}
	return zip.Create(w, m, all)
}

// files lists what a clone has below dir. What belongs to a module below it is left out by zip.
func files(dir string) (all []zip.File, err error) {
	err = filepath.WalkDir(dir, func(at string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(unpublished, entry.Name()):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		name, err := filepath.Rel(dir, at)
		all = append(all, file{filepath.ToSlash(name), at})
		return err
	})
	return all, err
}

// file is a file of the disk.
type file struct {
	name string // below the module's folder, with slashes
	at   string
}

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(f.at) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(f.at) }
