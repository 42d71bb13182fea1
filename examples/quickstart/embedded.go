package main

import "github.com/alicebob/miniredis/v2"

// embedded is Redis servers inside this program, so that it runs anywhere and
// may kill some. They know enough of Redis to vote, but have no run_id, and so
// cannot be told from ones that restarted empty: real use takes real servers.
type embedded struct {
	servers []*miniredis.Miniredis
	addrs   []string // as servers
}

// startEmbedded starts n servers on loopback ports; close ends them.
func startEmbedded(n int) (*embedded, error) {
	e := new(embedded)
	for range n {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true) // keys expire as time goes by; by default they would wait for the test to say so
		if err := m.Start(); err != nil {
			e.close()
			return nil, err
		}
		e.servers = append(e.servers, m)
		e.addrs = append(e.addrs, m.Addr())
	}
	return e, nil
}

// urls is what engine.Open takes.
func (e *embedded) urls() []string {
	var urls []string
	for _, addr := range e.addrs {
		urls = append(urls, "redis://"+addr)
	}
	return urls
}

// kill ends a server and returns its address: connections to it break, and new
// ones are refused.
func (e *embedded) kill(n int) string {
	e.servers[n].Close()
	return e.addrs[n]
}

// close ends all servers, dead or alive.
func (e *embedded) close() {
	for _, m := range e.servers {
		m.Close()
	}
}
