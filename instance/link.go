package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/reach"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/restart"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// link is the one connection that an instance's messages travel on. Keeping to
// one keeps their order. It belongs to the actor; what is written on it is written
// by whoever has the turn, and once it is open for messages, its reader reads.
type link struct {
	conn *redis.Conn // go-redis's view of the connection: opens it, loads scripts, closes it
	net  net.Conn    // the connection itself, for the commands
	in   *bufio.Reader
	id   int64            // CLIENT ID; 0: not known
	seen restart.Sighting // who is at the other end

	// The reader's own, until done is closed by it.
	forgotten bool  // the server has forgotten our scripts
	used      bool  // something has been answered
	err       error // why the reader ended
	done      chan struct{}
}

// open introduces itself on a new connection and learns who is there, before ctx
// ends. former is the link that this one takes the place of, or nil.
//
// Nothing that was sent on the former connection may be executed after the
// first message on this one: an acquire that a frozen server finds in its
// socket buffer later would overtake its own undo and leave a lock that nobody
// holds. So the former self is killed before anything else is sent.
//
// client is made to pick up conn as its only connection. Its handshake leaves
// nothing unread there, so that both can use it, one at a time.
func open(ctx context.Context, client *redis.Client, conn net.Conn, former *link) (*link, error) {
	l := &link{conn: client.EphemeralConn(), net: conn, in: bufio.NewReaderSize(conn, 1<<16)}
	if err := l.introduce(ctx); err != nil {
		l.close()
		return nil, err
	}
	if err := l.killFormer(ctx, former); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// introduce loads the scripts and asks who is there, in one round trip.
func (l *link) introduce(ctx context.Context) error {
	pipe := l.conn.Pipeline()
	id := pipe.ClientID(ctx)
	server := pipe.Info(ctx, "server")
	replication := pipe.Info(ctx, "replication")
	l.load(ctx, pipe)
	cmds, err := pipe.Exec(ctx)
	switch {
	case err == nil:
	case !fault.IsServerError(err):
		if fault.IsProtocolError(err) {
			return resp.ErrNotRedis
		}
		return err
	case !slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return errors.Is(c.Err(), err) }):
		return err // not one of ours: go-redis's own greeting failed, as with a wrong password or database
	}
	for _, cmd := range cmds[3:] { // without scripts there is nothing to vote with
		if err := cmd.Err(); err != nil {
			return fmt.Errorf("cannot load the lock scripts: %w", err)
		}
	}
	l.id = id.Val() // 0 where CLIENT is not permitted
	l.seen, err = reach.ReadInfo(server.Val(), replication.Val())
	return err
}

// killFormer ends the connection that this one follows. Only on the same
// process: after a restart the number may be a stranger's, and then there is
// nothing to kill.
func (l *link) killFormer(ctx context.Context, former *link) error {
	if former == nil || former.id == 0 || former.seen.RunID == "" || former.seen.RunID != l.seen.RunID {
		return nil
	}
	err := l.conn.ClientKillByFilter(ctx, "ID", strconv.FormatInt(former.id, 10)).Err()
	if err != nil && !fault.IsServerError(err) { // not permitted: fences have tombstones for it
		return err
	}
	return nil
}

// load queues the loading of every script.
func (l *link) load(ctx context.Context, pipe redis.Pipeliner) {
	for _, s := range scripts.All {
		pipe.ScriptLoad(ctx, s.Source)
	}
}

// reload loads the scripts again, after a SCRIPT FLUSH.
func (l *link) reload(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	pipe := l.conn.Pipeline()
	l.load(ctx, pipe)
	_, err := pipe.Exec(ctx)
	return err
}

// send sends a batch. Its replies are to be read before deadline, too.
func (l *link) send(batch []byte, deadline time.Time) error {
	if err := l.net.SetDeadline(deadline); err != nil {
		return err
	}
	_, err := l.net.Write(batch)
	return err
}

// next reads the next reply.
func (l *link) next(r *resp.Reply) error { return r.Read(l.in) }

// await waits for the next reply to begin.
func (l *link) await() error {
	_, err := l.in.Peek(1)
	return err
}

// isDirect reports whether a small write does not block, when everything before
// it has been answered: then the kernel's buffer is empty.
func (l *link) isDirect() bool {
	switch l.net.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// close ends the connection for good. go-redis would keep one whose troubles it
// has not seen, hence an ephemeral one that it discards.
func (l *link) close() {
	_ = l.net.Close()
	_ = l.conn.Close()
}
