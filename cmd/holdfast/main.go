// Holdfast runs commands under distributed locks on Redis, and shows, frees and
// checks those locks:
//
//	holdfast run nightly-report -- ./report.sh
//	holdfast status nightly-report
//	holdfast doctor
//
// `holdfast help` has the rest, and so has docs/cli.md.
package main

import "os"

func main() { os.Exit(execute(os.Args[1:])) }
