package instance_test

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// refusing is a real server that refuses for a while, and an instance that asks it.
type refusing struct {
	*redistest.Server
	t        *testing.T
	instance *instance.Instance
}

func startRefusing(t *testing.T, test func(*refusing), args ...string) {
	t.Helper()
	r := &refusing{Server: redistest.Start(t, args...), t: t}
	i, err := instance.Dial(r.URL(), instance.Config{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	r.instance = i
	run(t, i, func() { test(r) })
}

func (r *refusing) acquire() instance.Vote {
	a := make(answer, 1)
	r.instance.Post(acquireTo(a, fmt.Sprint(time.Now().UnixNano())))
	return <-a
}

// passes fails the test unless the server has refused with this word, and the table of
// refusals knows it as one that passes.
func (r *refusing) passes(v instance.Vote, word string) {
	r.t.Helper()
	switch {
	case v.Kind != instance.Refused || v.Err == nil || !strings.Contains(v.Err.Error(), word+" "):
		r.t.Errorf("%v, want %s", v, word)
	case instance.IsRefusal(v.Err) || instance.Advice(v.Err) == "":
		r.t.Errorf("it is not known to pass: %v", v)
	}
}

// grants fails the test unless the server grants by and by.
func (r *refusing) grants() {
	r.t.Helper()
	r.await("the server grants again", func() bool { return r.acquire().Kind == instance.Granted })
}

func (r *refusing) await(what string, so func() bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("not in time: %s", what)
		}
	}
}

// What passes by itself, or when somebody looks after the server, each from a real one:
// the words are the servers', and may change.

func TestAServerThatCannotSaveRefusesForAWhile(t *testing.T) {
	startRefusing(t, func(r *refusing) {
		dir := r.MustDo("CONFIG", "GET", "dir").([]any)[1].(string)
		if err := os.Mkdir(filepath.Join(dir, "dump.rdb"), 0o700); err != nil { // which no file can be renamed to
			t.Fatalf("os.Mkdir: %v", err)
		}
		r.MustDo("BGSAVE")
		r.await("saving fails", func() bool {
			info, _ := r.MustDo("INFO", "persistence").(string)
			return strings.Contains(info, "rdb_last_bgsave_status:err")
		})
		r.passes(r.acquire(), "MISCONF")
		r.MustDo("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
		r.grants()
	}, "--save", "3600 1")
}

func TestAServerWithTooFewReplicasRefusesForAWhile(t *testing.T) {
	startRefusing(t, func(r *refusing) {
		r.passes(r.acquire(), "NOREPLICAS")
		r.MustDo("CONFIG", "SET", "min-replicas-to-write", "0")
		r.grants()
	}, "--min-replicas-to-write", "1")
}

func TestAServerThatIsHeldUpByAScriptRefusesForAWhile(t *testing.T) {
	startRefusing(t, func(r *refusing) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = r.Do("EVAL", "while true do end", "0") // ends by SCRIPT KILL
		}()
		r.await("the script holds it up", func() bool {
			_, err := r.Do("PING")
			return err != nil && strings.HasPrefix(err.Error(), "BUSY ")
		})
		r.passes(r.acquire(), "BUSY")
		r.MustDo("SCRIPT", "KILL")
		<-ended
		r.grants()
	}, "--lua-time-limit", "20")
}

func TestAServerThatReadsItsDataRefusesForAWhile(t *testing.T) {
	if known, _ := redistest.Start(t).MustDo("CONFIG", "GET", "key-load-delay").([]any); len(known) == 0 {
		t.Skip("this server cannot be told to read slowly (key-load-delay)")
	}
	startRefusing(t, func(r *refusing) {
		for n := range 100 {
			value := make([]byte, 1024)
			_, _ = rand.Read(value) // does not fail
			r.Set(fmt.Sprint("much ", n), hex.EncodeToString(value), 0)
		}
		r.MustDo("SAVE")
		restarted := make(chan struct{})
		loading := make(chan instance.Vote, 1) // one slot: the first that says so
		said := make(map[string]int)           // read when loading is closed
		go func() {
			defer close(loading)
			for {
				select {
				case <-restarted:
					return
				case <-time.After(10 * time.Millisecond):
				}
				v := r.acquire()
				said[v.String()]++
				if v.Err != nil && strings.Contains(v.Err.Error(), "LOADING") {
					loading <- v
					return
				}
			}
		}()
		r.Restart() // returns when it has read them: after two seconds
		close(restarted)
		v, refused := <-loading
		if !refused {
			t.Fatalf("it has not refused while it read its data: %v", said)
		}
		r.passes(v, "LOADING")
		r.grants()
	}, "--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
}
