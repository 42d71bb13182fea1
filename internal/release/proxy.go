package main

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"time"

	"golang.org/x/mod/module"
)

// publish lays the published modules of the tree out in the folder proxy, as
// version, so that file://proxy answers like a GOPROXY on the day of the release.
func publish(proxy, root, version string) error {
	for _, dir := range published {
		m := module.Version{Path: path.Join(core, dir), Version: version}
		if err := publishOne(proxy, filepath.Join(root, dir), m); err != nil {
			return err
		}
	}
	return nil
}

func publishOne(proxy, dir string, m module.Version) error {
	escaped, err := module.EscapePath(m.Path)
	if err != nil {
		return err
	}
	at := filepath.Join(proxy, escaped, "@v")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{m.Version, time.Now().UTC()})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{
		"list":              []byte(m.Version + "\n"),
		m.Version + ".info": info,
		m.Version + ".mod":  mod,
	} {
		if err := os.WriteFile(filepath.Join(at, name), text, 0o600); err != nil {
			return err
		}
	}
	return writeZip(filepath.Join(at, m.Version+".zip"), dir, m)
}

func writeZip(file, dir string, m module.Version) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := zipTo(f, dir, m); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
