package sim

import (
	"bufio"
	"bytes"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
)

// mini is the store that miniredis has. It runs our scripts as they are written,
// at some 0.4 ms a call, and has no clock but the bubble's.
type mini struct{ redis *miniredis.Miniredis }

func newMini() (store, error) {
	m := mini{miniredis.NewMiniRedis()}
	m.redis.ClockTTL(true)
	c, err := m.redis.Dial() // starts it without a listener
	if err != nil {
		return nil, err
	}
	return m, c.Close()
}

// miniSession is one connection as miniredis sees it.
type miniSession struct {
	redis  *miniredis.Miniredis
	peer   *server.Peer
	buffer bytes.Buffer // what peer writes to
}

func (m mini) session() session {
	s := &miniSession{redis: m.redis}
	s.peer = server.NewPeer(bufio.NewWriter(&s.buffer))
	return s
}

func (s *miniSession) do(args []string) []byte {
	s.redis.Server().Dispatch(s.peer, args)
	s.peer.Flush()
	reply := bytes.Clone(s.buffer.Bytes())
	s.buffer.Reset()
	return reply
}

func (m mini) get(key string) (string, bool) {
	value, err := m.redis.Get(key)
	return value, err == nil
}

func (m mini) expires(key string) (time.Time, bool) {
	if _, ok := m.get(key); !ok { // expires what is due
		return time.Time{}, false
	}
	ttl := m.redis.TTL(key)
	return time.Now().Add(ttl), ttl > 0
}

func (m mini) set(key, value string, ttl time.Duration) {
	if err := m.redis.Set(key, value); err != nil {
		panic(err) // cannot happen: it replaces keys of any type
	}
	if ttl > 0 {
		m.redis.SetTTL(key, ttl)
	}
}

func (m mini) del(key string) { m.redis.Del(key) }
func (m mini) keys() []string { return m.redis.Keys() }
func (m mini) forget()        { m.redis.FlushAll() }
func (m mini) forgetScripts() { m.session().do([]string{"SCRIPT", "FLUSH"}) }
func (m mini) close()         { m.redis.Close() }
