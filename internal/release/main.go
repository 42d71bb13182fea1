// Release says whether the modules of this tree may be tagged as a version:
//
//	make release-check VERSION=v0.1.0
//
// It prints what must be mended first, and fails. It changes nothing. Its tests do
// what users do with what the tags would publish, and are part of make test.
// docs/releasing.md has the whole procedure.
//
// It is a module of its own, since it needs golang.org/x/mod, the code that the go
// command and the proxy make zips with, and the core shall not require that.
package main

import (
	"fmt"
	"os"
)

// root is the tree, seen from here.
const root = "../.."

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "name the version: make release-check VERSION=v0.1.0")
		os.Exit(2)
	}
	version := os.Args[1]
	problems, err := check(root, version)
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(2)
	}
	for _, problem := range problems {
		fmt.Fprintln(os.Stderr, "not ready:", problem)
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}
