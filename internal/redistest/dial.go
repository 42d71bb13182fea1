package redistest

import (
	"net"
	"time"
)

const (
	// doTimeout bounds each step (dial, write, read) of this package's own questions to a server that may be stopped.
	doTimeout = time.Second
	// commandTimeout bounds a test's command: a value of 512 MB takes a busy machine seconds to make.
	commandTimeout = 20 * time.Second
)

// dial opens one of this package's own connections.
func (s *Server) dial() (net.Conn, error) {
	conn, err := net.DialTimeout(s.network, s.addr, doTimeout)
	if err != nil {
		return nil, err
	}
	return hangUp{conn}, nil
}

// hangUp is a connection that is over for the server when Close returns, so that it cannot show up in the next look at
// the server's clients. A plain close does not promise that: while another goroutine is starting a process, the child
// has a copy of every open socket, until its exec.
type hangUp struct{ net.Conn }

// Close ends the connection for all who have a copy of its socket.
func (c hangUp) Close() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails only where there is nothing left to end
	}
	return c.Conn.Close()
}
