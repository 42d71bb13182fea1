package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-go/holdfast/examples/internal/program"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

func TestMain(m *testing.M) { program.Main(m, main) }

func TestNoDepositIsLost(t *testing.T) {
	t.Parallel()
	stdout := program.Start(t, "").Ends()
	if want := "ann has 25, after 25 deposits of 1 at two servers\nben has 25, after 25 deposits of 1 at two servers\n"; stdout != want {
		t.Errorf("it said %q", stdout)
	}
}

func TestProcessesShareTheBalances(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	urls := strings.Join(redistest.URLs(servers), ",")
	dir := t.TempDir()
	one := program.Start(t, urls, "-listen", "127.0.0.1:0", "-dir", dir)
	two := program.Start(t, urls, "-listen", "127.0.0.1:0", "-dir", dir)
	var addrs []string
	for _, p := range []*program.Program{one, two} {
		addrs = append(addrs, p.Await(`serving http://([\d.:]+)/`)[1])
	}
	if err := depositAll(t.Context(), addrs, []string{"ann"}); err != nil {
		t.Errorf("depositAll: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "ann")); err != nil || string(text) != "25\n" {
		t.Errorf("25 deposits make %q, %v", text, err)
	}
	if status, _ := post(t, addrs[0], ".."); status != http.StatusBadRequest {
		t.Errorf("a bad name is answered with %d", status)
	}

	// What stands in the way of a lock says nothing about the servers to users.
	servers[0].Kill()
	servers[1].Kill()
	status, text := post(t, addrs[0], "ann")
	if status != http.StatusServiceUnavailable || text != "locks cannot be had\n" {
		t.Errorf("without a quorum, it is answered with %d: %s", status, text)
	}
	for _, p := range []*program.Program{one, two} {
		p.Interrupt()
		if _, stderr, exit := p.Wait(); exit != 0 {
			t.Errorf("exit %d: %s", exit, stderr)
		}
	}
}

func post(t *testing.T, addr, user string) (status int, text string) {
	t.Helper()
	response, err := http.Post("http://"+addr+"/users/"+strings.ReplaceAll(user, ".", "%2E")+"/deposits", "", nil)
	if err != nil {
		t.Fatalf("http.Post: %v", err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("io.ReadAll: %v", err)
	}
	return response.StatusCode, string(body)
}
