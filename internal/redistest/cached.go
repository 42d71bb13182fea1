package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

// Machine is the name of the machine's own redis-server, for [StartEach] and [Server.RestartAs].
const Machine = "redis-server"

// Others are the servers that `make servers` has, beside the machine's own (tools/servers.sh).
var Others = []string{"redis-8.0", "redis-8.6", "valkey-8.1", "valkey-9.1"}

// StartEach starts a server of each of these, which may be [Machine] and [Others], all at the same time, whatever the setting
// says. The test is skipped where one of them has not been fetched.
func StartEach(t testing.TB, names ...string) []*Server {
	t.Helper()
	requireRedis(t)
	servers := make([]*Server, len(names))
	for n, name := range names {
		program := cached(t, name)
		servers[n] = newServer(t, nil)
		servers[n].program = program
		if err := servers[n].listenUnix(); err != nil {
			t.Fatalf("redistest: start a server on a unix socket: %v", err)
		}
	}
	var starts errgroup.Group
	for _, s := range servers {
		starts.Go(s.start)
	}
	if err := starts.Wait(); err != nil {
		t.Fatalf("starts.Wait: %v", err)
	}
	return servers
}

// RestartAs is Restart with another program behind the same address: an upgrade, or a downgrade. The test is skipped where
// it has not been fetched.
func (s *Server) RestartAs(name string) {
	s.t.Helper()
	program := cached(s.t, name)
	s.Kill()
	s.mu.Lock()
	s.program = program
	s.mu.Unlock()
	s.Restart()
}

// cached is the program of a server that has been fetched.
func cached(t testing.TB, name string) string {
	t.Helper()
	if name == Machine {
		return Machine
	}
	root, err := filepath.Abs(".")
	for err == nil && root != filepath.Dir(root) {
		tree := filepath.Join(root, ".servers", name)
		complete, _ := os.ReadFile(filepath.Join(tree, "complete"))
		product, _, _ := strings.Cut(name, "-")
		program := filepath.Join(tree, "usr", "bin", product+"-server")
		if strings.TrimSpace(string(complete)) == tree && exec.Command(program, "--version").Run() == nil {
			return program
		}
		root = filepath.Dir(root)
	}
	t.Skipf("there is no %s here: make servers fetches it", name)
	return ""
}
