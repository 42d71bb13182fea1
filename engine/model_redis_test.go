//go:build !race

package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/instance"
	"github.com/holdfast-go/holdfast/internal/redistest"
)

// answer is a Caster for one vote.
type answer chan instance.Vote

func (a answer) Cast(v instance.Vote)                                     { a <- v }
func (a answer) CastRenewals(_ []instance.Renewal, votes []instance.Vote) { a <- votes[0] }

// realServer asks a real Redis, through the instance, what the model's server is
// asked.
type realServer struct {
	*redistest.Server
	instance *instance.Instance
	fences   realFences
}

// realFences is how a real server has fences.
type realFences string

const (
	unfenced     realFences = "no fences"
	nativeFences realFences = "fences raised by native commands"
	scriptFences realFences = "fences raised by scripts" // as nothing can be killed
	besideFences realFences = "fences beside their locks, in a cluster"
)

func startReal(t *testing.T, fences realFences) *realServer {
	t.Helper()
	r := &realServer{fences: fences}
	var url string
	switch fences {
	case besideFences:
		r.Server = redistest.StartCluster(t, 1, false).Masters[0]
		url = "redis-cluster://" + r.Addr()
	case scriptFences:
		r.Server = redistest.Start(t)
		r.User("me", "pw", "~* +@all -client|kill")
		url = strings.Replace(r.URL(), "unix://", "unix://me:pw@", 1)
	default:
		r.Server = redistest.Start(t)
		url = r.URL()
	}
	i, err := instance.Dial(url, instance.Config{Timeout: 20 * time.Second})
	if err != nil {
		t.Fatalf("instance.Dial: %v", err)
	}
	if err := i.Claim(); err != nil {
		t.Fatalf("i.Claim: %v", err)
	}
	r.instance = i
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		i.Run(context.Background(), instance.NewSet([]*instance.Instance{i}, instance.GuardOff, 0))
	}()
	t.Cleanup(func() { i.Close(); <-ended })
	return r
}

func (r *realServer) fencing(fence uint8) (f instance.Fencing) {
	if r.fences != unfenced {
		f = instance.Fencing{Fence: uint64(fence), FenceTTL: 100 * time.Hour, MaxAhead: time.Hour}
	}
	return f
}

func realToken(token uint8) string    { return fmt.Sprint("token ", token) }
func realTTL(ttl uint8) time.Duration { return time.Duration(ttl) * time.Hour }

func (r *realServer) acquire(token, ttl, fence, reserved uint8, askLeft bool) instance.Kind {
	a := make(answer, 1)
	fencing := r.fencing(fence)
	fencing.Reserved = uint64(reserved)
	if r.fences == nativeFences {
		r.renewOf("another", token, ttl) // its answer shows the server's clock, without which nothing is raised natively
	}
	r.instance.Post(&instance.Acquire{
		Key: "k", Token: realToken(token), TTL: realTTL(ttl), GiveUp: time.Now().Add(time.Hour),
		AskLeft: askLeft, Fencing: fencing, To: a,
	})
	return (<-a).Kind
}

func (r *realServer) adopt(from, to, ttl uint8) instance.Kind {
	a := make(answer, 1)
	r.instance.Post(&instance.Acquire{
		Key: "k", Token: realToken(to), Former: realToken(from), TTL: realTTL(ttl), GiveUp: time.Now().Add(time.Hour), To: a,
	})
	return (<-a).Kind
}

func (r *realServer) giveBack(from, to uint8) instance.Kind {
	a := make(answer, 1)
	r.instance.Post(&instance.Release{Key: "k", Token: realToken(from), Former: realToken(to), TTL: time.Hour, To: a})
	return (<-a).Kind
}

func (r *realServer) renew(token, ttl uint8) instance.Kind { return r.renewOf("k", token, ttl) }

func (r *realServer) renewOf(key string, token, ttl uint8) instance.Kind {
	a := make(answer, 1)
	items := []instance.Renewal{{Key: key, Token: realToken(token), TTL: realTTL(ttl), Fencing: r.fencing(1)}}
	r.instance.Post(&instance.Renew{Items: items, To: a})
	return (<-a).Kind
}

func (r *realServer) release(token, fence uint8) instance.Kind {
	a := make(answer, 1)
	r.instance.Post(&instance.Release{Key: "k", Token: realToken(token), TTL: time.Hour, Fencing: r.fencing(fence), To: a})
	return (<-a).Kind
}

// releaseTogether releases with two tokens at once, so that it may be one script
// call: that of many releases.
func (r *realServer) releaseTogether(one, other uint8) []instance.Kind {
	a, b := make(answer, 1), make(answer, 1)
	r.instance.Post(&instance.Release{Key: "k", Token: realToken(one), TTL: time.Hour, To: a})
	r.instance.Post(&instance.Release{Key: "k", Token: realToken(other), TTL: time.Hour, To: b})
	return []instance.Kind{(<-a).Kind, (<-b).Kind}
}

// state is what the server has, as the model has it.
func (r *realServer) state() (s modelServer) {
	if token, ok := strings.CutPrefix(r.Get("k"), "token "); ok {
		s.holder = number(token)
		s.left = uint8(r.PTTL("k").Round(time.Hour) / time.Hour)
	}
	if r.fences == besideFences {
		s.fence = number(r.Get("fence:{k}"))
	} else {
		s.fence = uint8(r.Fence("", "k"))
	}
	return s
}

func number(text string) uint8 {
	n, _ := strconv.Atoi(text)
	return uint8(n)
}

// The models' server and a real one with the real scripts are asked the same
// random questions in the same order: they answer alike, and are alike after every
// question. Ticks are hours there, so that none passes meanwhile.
func TestModelAnswersAsRedisDoes(t *testing.T) {
	const questions = 1500
	for _, fences := range []realFences{unfenced, nativeFences, scriptFences, besideFences} {
		t.Run(string(fences), func(t *testing.T) {
			fenced := fences != unfenced
			t.Parallel()
			seed := rand.Uint64()
			random := rand.New(rand.NewPCG(seed, 0))
			upTo := func(n uint) uint8 { return 1 + uint8(random.UintN(n)) }
			scripts, real := rightScripts(), startReal(t, fences)
			var model modelServer
			answers := make(map[string]int)
			for n := range questions {
				token, other, fence, ttl := upTo(3), upTo(3), upTo(8), upTo(5)
				reserved := upTo(3) - 1
				var question string
				var want, got []instance.Kind
				switch dice := random.IntN(24); {
				case dice < 8 && fenced:
					question = "acquire"
					ask := map[realFences]func(s *modelServer, token, ttl, fence, highest uint8) instance.Kind{
						nativeFences: scripts.acquireNative, scriptFences: scripts.acquireRaise, besideFences: scripts.acquireFenced,
					}[fences]
					want = []instance.Kind{ask(&model, token, ttl, fence, fence+reserved)}
					got = []instance.Kind{real.acquire(token, ttl, fence, reserved, false)}
				case dice < 8:
					question = "acquire"
					want = []instance.Kind{scripts.acquire(&model, token, ttl)}
					got = []instance.Kind{real.acquire(token, ttl, 0, 0, dice < 4)}
				case dice < 12:
					question = "renew"
					want = []instance.Kind{scripts.renew(&model, token, ttl)}
					got = []instance.Kind{real.renew(token, ttl)}
				case dice < 17 && fenced:
					question = "release"
					want = []instance.Kind{scripts.releaseFenced(&model, token, fence)}
					got = []instance.Kind{real.release(token, fence)}
				case dice < 15:
					question = "release"
					want = []instance.Kind{scripts.release(&model, token)}
					got = []instance.Kind{real.release(token, 0)}
				case dice < 17:
					question = "release together"
					want = []instance.Kind{scripts.release(&model, token), scripts.release(&model, other)}
					got = real.releaseTogether(token, other)
				case dice < 20:
					question = "adopt"
					want = []instance.Kind{scripts.adopt(&model, token, other, ttl)}
					got = []instance.Kind{real.adopt(token, other, ttl)}
				case dice < 21:
					question = "give back"
					want = []instance.Kind{scripts.adopt(&model, token, other, 0)}
					got = []instance.Kind{real.giveBack(token, other)}
				case dice < 23:
					question = "expire"
					model.holder, model.left = 0, 0
					real.Del("k")
				default:
					question = "forget"
					model = modelServer{}
					real.FlushAll()
				}
				if state := real.state(); !slices.Equal(want, got) || state != model {
					t.Fatalf("seed %d, question %d: %s, token %d (%d), fence %d, TTL %d: the model answers %v and is %+v, Redis answers %v and is %+v",
						seed, n, question, token, other, fence, ttl, want, model, got, state)
				}
				for _, kind := range got {
					answers[fmt.Sprintf("%s: %v", question, kind)]++
				}
			}
			if t.Log(answers); len(answers) < 8 {
				t.Error("too few different answers for this to mean anything")
			}
		})
	}
}

// The model of fences leaves out that a proposal may be too far ahead of a server's
// clock, because it is then as if it had never arrived.
func TestProposalThatIsTooFarAheadLeavesNothing(t *testing.T) {
	real := startReal(t, nativeFences)
	a := make(answer, 1)
	q := &instance.Acquire{Key: "k", Token: "t", TTL: time.Hour, GiveUp: time.Now().Add(time.Hour), Fencing: real.fencing(1), To: a}
	q.Fence = uint64(time.Now().Add(2 * time.Hour).UnixMicro())
	real.instance.Post(q)
	if v := <-a; v.Kind != instance.Ahead {
		t.Errorf("got %v, want that the fence is ahead", v)
	}
	if keys := real.Keys(); len(keys) != 0 {
		t.Errorf("the server has the keys %q, want none", keys)
	}
}
