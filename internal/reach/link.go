package reach

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/resp"
	"github.com/holdfast-go/holdfast/internal/restart"
	"github.com/holdfast-go/holdfast/internal/scripts"
)

// Link is the one connection that an instance's messages travel on. Keeping to
// one keeps their order. It is dialed by the actor.
type Link struct {
	conn *redis.Conn // go-redis's view of the connection: opens it, loads scripts, closes it
	Net  net.Conn    // the connection itself, for the commands
	In   *bufio.Reader
	id   int64            // CLIENT ID; 0: not known
	Seen restart.Sighting // who is at the other end

	// Deletion is its native compare-and-delete; nil: it has none. Whether it is permitted is left to find out.
	Deletion *Deletion
	// Kills: the link that follows this one can kill it, so that nothing is executed behind what is sent there.
	Kills bool
	// IsCluster: the server is a node of a cluster.
	IsCluster bool
}

// Room for replies: a link begins with little, which an idle one stays with, and gets more when that is full. go-redis has as little
// for as long as the link lives (a Door must hear in one piece what a server says), and the least for what it writes.
const (
	least  = 1 << 10
	narrow = 4 << 10
	wide   = 64 << 10
)

// OpenLink introduces us on a new connection and learns who is there, before ctx
// ends. former is the link that this one takes the place of, or nil.
//
// Nothing that was sent on the former connection may be executed after the
// first message on this one: an acquire that a frozen server finds in its
// socket buffer later would overtake its own undo and leave a lock that nobody
// holds. So the former self is killed before anything else is sent.
//
// client is made to pick up conn as its only connection. Its handshake leaves
// nothing unread there, so that both can use it, one at a time.
func OpenLink(ctx context.Context, client *redis.Client, conn net.Conn, former *Link) (*Link, error) {
	l := &Link{conn: client.EphemeralConn(), Net: conn, In: bufio.NewReaderSize(conn, narrow)}
	if err := l.introduce(ctx); err != nil {
		l.Close()
		return nil, err
	}
	if err := l.killFormer(ctx, former); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// introduce asks who is there, and loads the scripts if the server has not got them, in another round trip.
func (l *Link) introduce(ctx context.Context) error {
	pipe := l.conn.Pipeline()
	id := pipe.ClientID(ctx)
	server := pipe.Info(ctx, "server")
	replication := pipe.Info(ctx, "replication")
	kill := pipe.ClientKillByFilter(ctx, "ID", nobody)
	var deletes []*redis.Cmd
	for _, d := range deletions {
		deletes = append(deletes, pipe.Do(ctx, d.name))
	}
	known := pipe.EvalSha(ctx, scripts.Loaded.SHA, nil)
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
	if known.Err() != nil {
		switch err := l.load(ctx); {
		case err != nil && !fault.IsServerError(err):
			return err
		case err != nil: // without scripts there is nothing to vote with
			return fmt.Errorf("cannot load the lock scripts: %w", err)
		}
	}
	l.Deletion = deletionOf(deletes)
	l.id = id.Val() // 0 where CLIENT is not permitted
	l.Seen, err = ReadInfo(server.Val(), replication.Val())
	l.Kills = kill.Err() == nil && l.id != 0 && l.Seen.RunID != ""
	l.IsCluster = isCluster(server.Val())
	return err
}

// nobody is the number of no client, to be killed.
const nobody = "9223372036854775807"

// killFormer ends the connection that this one follows. Only on the same
// process: after a restart the number may be a stranger's, and then there is
// nothing to kill.
func (l *Link) killFormer(ctx context.Context, former *Link) error {
	if former == nil || former.id == 0 || former.Seen.RunID == "" || former.Seen.RunID != l.Seen.RunID {
		return nil
	}
	err := l.conn.ClientKillByFilter(ctx, "ID", strconv.FormatInt(former.id, 10)).Err()
	if err != nil && !fault.IsServerError(err) { // not permitted: fences have tombstones for it
		return err
	}
	return nil
}

// load loads all scripts. An error of the server's is that of the first that it refuses.
func (l *Link) load(ctx context.Context) error {
	pipe := l.conn.Pipeline()
	for _, s := range scripts.All {
		pipe.ScriptLoad(ctx, s.Source)
	}
	pipe.ScriptLoad(ctx, scripts.Loaded.Source)
	_, err := pipe.Exec(ctx)
	return err
}

// Reload loads the scripts again, after a SCRIPT FLUSH.
func (l *Link) Reload(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return l.load(ctx)
}

// Send sends a batch. Its replies are to be read before deadline, too.
func (l *Link) Send(batch []byte, deadline time.Time) error {
	if err := l.Net.SetDeadline(deadline); err != nil {
		return err
	}
	_, err := l.Net.Write(batch)
	return err
}

// Next reads the next reply.
func (l *Link) Next(r *resp.Reply) error { return r.Read(l.In) }

// Await waits for the next reply to begin.
func (l *Link) Await() error {
	_, err := l.In.Peek(1)
	return err
}

// Widen makes more room for replies if there is little, and none is waiting there. They are read from in.
func (l *Link) Widen(in io.Reader) {
	if l.In.Size() < wide && l.In.Buffered() == 0 {
		l.In = bufio.NewReaderSize(in, wide)
	}
}

// IsDirect reports whether a small write does not block, when everything before
// it has been answered: then the kernel's buffer is empty.
func (l *Link) IsDirect() bool {
	switch l.Net.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	}
	return false
}

// Close ends the connection for good. go-redis would keep one whose troubles it
// has not seen, hence an ephemeral one that it discards.
func (l *Link) Close() {
	_ = l.Net.Close()
	_ = l.conn.Close()
}
