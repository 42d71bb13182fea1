package reach

import (
	"bytes"
	"net"
	"sync"
	"time"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
)

// Door is a connection while go-redis introduces us on it. A server that lets nobody
// in says why and hangs up, without having heard us: then our own words fail to be
// written, and go-redis leaves it at that. A door keeps the server's last words.
type Door struct {
	net.Conn

	mu   sync.Mutex
	said []byte // an error that nothing has come behind
}

const (
	// longestWords are read of what a server says at the door, in one piece, and
	// for no longer than listening: it has hung up, and what it said has come before that.
	longestWords = 512
	listening    = 50 * time.Millisecond
)

func NewDoor(conn net.Conn) *Door { return &Door{Conn: conn} }

func (d *Door) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	d.hear(p[:n])
	return n, err
}

func (d *Door) Write(p []byte) (int, error) {
	n, err := d.Conn.Write(p)
	if err != nil && !fault.IsTimeout(err) {
		words := make([]byte, longestWords)
		_ = d.SetReadDeadline(time.Now().Add(listening))
		heard, _ := d.Conn.Read(words)
		d.hear(words[:heard])
	}
	return n, err
}

func (d *Door) hear(words []byte) {
	if len(words) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said = nil
	if words[0] == '-' {
		line, _, _ := bytes.Cut(words[1:], []byte("\r\n"))
		d.said = bytes.Clone(line[:min(len(line), longestWords)])
	}
}

// Reason is the server's own reason for the failure of what was tried on the
// connection, or else err.
func (d *Door) Reason(err error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil || fault.IsServerError(err) || fault.IsTimeout(err) || len(d.said) == 0 {
		return err
	}
	return resp.ServerError(d.said)
}
