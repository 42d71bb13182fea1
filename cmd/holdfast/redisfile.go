package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"unicode"

	"github.com/holdfast-go/holdfast/instance"
)

// The variables that name the servers when no flag does, or a file that does. They
// are what a password may be in, so that a command does not find them.
const (
	environment     = "HOLDFAST_REDIS"
	environmentFile = "HOLDFAST_REDIS_FILE"
)

// address is a server's URL, and where it stands, for errors: they show no URL.
type address struct{ url, where string }

// locate finds the servers: in the flags, or else in the environment. A file is
// read once, since it may be a pipe.
func (s *servers) locate() (found []address, err error) {
	if s.found == nil {
		s.found, err = s.search()
	}
	return s.found, err
}

func (s *servers) search() ([]address, error) {
	switch {
	case len(s.redis) > 0 && len(s.file) > 0:
		return nil, usage("--redis and --redis-file both name the instances: choose one")
	case len(s.file) > 1:
		return nil, usage("--redis-file is given twice: put all instances into one file")
	case len(s.redis) > 0:
		return numbered(s.redis), nil
	case len(s.file) > 0:
		return readServers("--redis-file", s.file[0])
	}
	urls, file := instance.SplitURLs(os.Getenv(environment)), os.Getenv(environmentFile)
	switch {
	case len(urls) > 0 && file != "":
		return nil, usage("%s and %s both name the instances: unset one of them", environment, environmentFile)
	case file != "":
		return readServers(environmentFile, file)
	case len(urls) > 0:
		return numbered(urls), nil
	}
	return nil, usage("no instances: name them with --redis URL, once for each, in %s, or in a --redis-file; see `holdfast help instances`", environment)
}

func numbered(urls []string) (all []address) {
	for n, url := range urls {
		all = append(all, address{url, fmt.Sprintf("instance %d of %d", n+1, len(urls))})
	}
	return all
}

// longestFile is how long a file of URLs may be: something else is much longer.
const longestFile = 1 << 16

// readServers reads a file with a URL a line. what names it in errors, which show
// nothing that stands in it.
func readServers(what, path string) ([]address, error) {
	if strings.Contains(path, "://") || strings.Contains(path, "@") {
		return nil, usage("%s wants the name of a file, but this looks like a URL: give it to --redis", what)
	}
	text, err := readSecret(what, path)
	if err != nil {
		return nil, err
	}
	var all []address
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch where := fmt.Sprintf("%s %s, line %d", what, path, n+1); {
		case line == "" || line[0] == '#':
		case strings.ContainsFunc(line, unicode.IsSpace):
			return nil, usage("%s: want one URL, and nothing behind it", where)
		default:
			all = append(all, address{line, where})
		}
	}
	if len(all) == 0 {
		return nil, usage("%s %s names no instance: want one URL a line", what, path)
	}
	return all, nil
}

func readSecret(what, path string) (text string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return "", unreadable(what, path, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return "", unreadable(what, path, err)
	}
	if open := info.Mode().Perm() & 0o006; open != 0 && info.Mode().IsRegular() && runtime.GOOS != "windows" {
		fmt.Fprintf(os.Stderr, "holdfast: warning: %s %s: every user of this machine may read or write it (%v)\n", what, oneLine(path), info.Mode())
	}
	all, err := io.ReadAll(io.LimitReader(file, longestFile+1))
	switch {
	case err != nil:
		return "", unreadable(what, path, err)
	case len(all) > longestFile:
		return "", usage("%s %s is longer than %d bytes: it is no list of URLs", what, path, longestFile)
	}
	return string(all), nil
}

func unreadable(what, path string, err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return usage("%s %s: %w", what, path, err)
}
