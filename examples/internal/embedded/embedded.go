// Package embedded gives the examples their Redis: what HOLDFAST_REDIS names, or
// servers inside the program.
//
// The latter know enough of Redis to vote, but have no run_id, and so cannot be
// told from ones that restarted empty: real use takes real servers.
package embedded

import (
	"os"

	"github.com/alicebob/miniredis/v2"

	"github.com/holdfast-go/holdfast/instance"
)

// Env returns the URLs in HOLDFAST_REDIS; none when it is not set.
func Env() []string { return instance.SplitURLs(os.Getenv("HOLDFAST_REDIS")) }

// Redis returns the URLs in HOLDFAST_REDIS, and no servers; when it is not set,
// three servers that it starts, and theirs. The caller closes the servers.
func Redis() (urls []string, own *Servers, err error) {
	if urls = Env(); len(urls) > 0 {
		return urls, nil, nil
	}
	if own, err = Start(3); err != nil {
		return nil, nil, err
	}
	return own.URLs(), own, nil
}

// Servers run inside this program, on loopback ports. So it runs anywhere, and may
// kill some.
type Servers struct {
	servers []*miniredis.Miniredis
	addrs   []string // as servers
}

// Start starts n servers; Close ends them.
func Start(n int) (*Servers, error) {
	s := new(Servers)
	for range n {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true) // keys expire as time goes by; by default they would wait for the test to say so
		if err := m.Start(); err != nil {
			s.Close()
			return nil, err
		}
		s.servers = append(s.servers, m)
		s.addrs = append(s.addrs, m.Addr())
	}
	return s, nil
}

// URLs is what engine.Open takes.
func (s *Servers) URLs() []string {
	var urls []string
	for _, addr := range s.addrs {
		urls = append(urls, "redis://"+addr)
	}
	return urls
}

// Kill ends a server and returns its address: connections to it break, and new
// ones are refused.
func (s *Servers) Kill(n int) string {
	s.servers[n].Close()
	return s.addrs[n]
}

// Close ends all servers, dead or alive. Without any, it does nothing.
func (s *Servers) Close() {
	if s == nil {
		return
	}
	for _, m := range s.servers {
		m.Close()
	}
}
