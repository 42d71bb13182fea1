package instance

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// link is the one connection that an instance's messages travel on. Keeping to
// one keeps their order. It belongs to the actor.
type link struct {
	conn   *redis.Conn
	ctx    deadlineContext
	id     int64    // CLIENT ID; 0: not known
	native bool     // SET … NX GET (Redis 7.0)
	seen   sighting // who is at the other end
}

// deadlineContext bounds a round trip without a timer and without garbage:
// go-redis reads the deadline and sets it on the socket. It is never cancelled;
// callers leave by themselves, and an instance that is aborted closes the socket.
type deadlineContext struct {
	context.Context
	deadline time.Time
}

func (c *deadlineContext) Deadline() (time.Time, bool) { return c.deadline, true }

// open introduces itself on a new connection and learns who is there, before ctx
// ends. former is the link that this one takes the place of, or nil.
//
// Nothing that was sent on the former connection may be executed after the
// first message on this one: an acquire that a frozen server finds in its
// socket buffer later would overtake its own undo and leave a lock that nobody
// holds. So the former self is killed before anything else is sent.
func open(ctx context.Context, client *redis.Client, former *link) (*link, error) {
	l := &link{conn: client.Conn()}
	l.ctx.Context = context.Background()
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
	case !isServerError(err):
		if isProtocolError(err) {
			return errNotRedis
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
	return l.learn(server, replication)
}

// learn reads INFO. A server that does not permit it can vote, but not be guarded.
func (l *link) learn(server, replication *redis.StringCmd) error {
	info := fields(server.Val())
	l.native = major(info["redis_version"]) >= 7
	l.seen = sighting{runID: info["run_id"], uptime: -1, at: time.Now()}
	if seconds, err := strconv.ParseInt(info["uptime_in_seconds"], 10, 64); err == nil {
		l.seen.uptime = time.Duration(seconds) * time.Second
	}
	info = fields(replication.Val())
	if role := info["role"]; role != "" && role != "master" {
		return errReplica
	}
	l.seen.history = info["master_replid"]
	l.seen.promoted = strings.Trim(info["master_replid2"], "0") != ""
	return nil
}

// killFormer ends the connection that this one follows. Only on the same
// process: after a restart the number may be a stranger's, and then there is
// nothing to kill.
func (l *link) killFormer(ctx context.Context, former *link) error {
	if former == nil || former.id == 0 || former.seen.runID == "" || former.seen.runID != l.seen.runID {
		return nil
	}
	err := l.conn.ClientKillByFilter(ctx, "ID", strconv.FormatInt(former.id, 10)).Err()
	if err != nil && !isServerError(err) { // not permitted: fences have tombstones for it
		return err
	}
	return nil
}

// load queues the loading of every script.
func (l *link) load(ctx context.Context, pipe redis.Pipeliner) {
	for _, s := range scripts {
		pipe.ScriptLoad(ctx, s.source)
	}
}

// reload loads the scripts again, after a SCRIPT FLUSH.
func (l *link) reload(deadline time.Time) error {
	l.ctx.deadline = deadline
	pipe := l.conn.Pipeline()
	l.load(&l.ctx, pipe)
	_, err := pipe.Exec(&l.ctx)
	return err
}

// roundTrip sends cmds in one write and reads all replies. It returns the error
// that broke the connection; what the server itself refused is in the commands.
func (l *link) roundTrip(cmds []redis.Cmder, deadline time.Time) error {
	l.ctx.deadline = deadline
	var err error
	if len(cmds) == 1 {
		err = l.conn.Process(&l.ctx, cmds[0])
	} else {
		pipe := l.conn.Pipeline()
		_ = pipe.BatchProcess(&l.ctx, cmds...)
		_, err = pipe.Exec(&l.ctx)
	}
	if answered(err) {
		// The first error is the server's own; a connection that broke later
		// shows in the last command at the latest.
		err = cmds[len(cmds)-1].Err()
	}
	if answered(err) {
		return nil
	}
	return err
}

// answered reports whether a command with this error, or with none, got its
// reply. A server's error that is wrapped in another is not a reply: go-redis
// returns the one that spoilt a connection for whatever is tried on it later.
func answered(err error) bool {
	if err == nil || err == redis.Nil { //nolint:errorlint // the bare value, on the hot path
		return true
	}
	_, reply := err.(redis.Error) //nolint:errorlint // not wrapped
	return reply
}

func (l *link) close() { _ = l.conn.Close() }

// fields reads the lines of an INFO section.
func fields(info string) map[string]string {
	m := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			m[key] = strings.TrimSpace(value)
		}
	}
	return m
}

func major(version string) int {
	head, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(head)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0
	}
	return n
}
