package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// setting names the environment variable that says on which servers tests run.
const setting = "HOLDFAST_TEST_SERVER"

// programs are the servers that are run: redis-server, or those that the setting lists, separated as in PATH. Of
// servers that are started together the first runs the first program, and so on, and around again: a mixed quorum. A
// server that is started alone runs the first, and so do all that speak with each other: Sentinel's, a cluster's.
func programs() []string {
	if list := filepath.SplitList(os.Getenv(setting)); len(list) > 0 {
		return list
	}
	return []string{"redis-server"}
}

// programOf is what the server in this place of those that are started together runs.
func programOf(place int) string {
	list := programs()
	return list[place%len(list)]
}

func havePrograms() bool {
	return !slices.ContainsFunc(programs(), func(name string) bool {
		_, err := exec.LookPath(name)
		return err != nil
	})
}

// isServer reports whether a process of this name is one that we run. A script that the setting names has become one
// of the usual two.
func isServer(name string) bool {
	return name == "redis-server" || name == "valkey-server" || slices.ContainsFunc(programs(), func(program string) bool {
		return name == filepath.Base(program)
	})
}
