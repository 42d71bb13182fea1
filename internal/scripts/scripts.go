// Package scripts has the Lua that runs on the servers: one file a script, constant text. Names and values travel as KEYS
// and ARGV only. It knows what they are called there, and which of their commands an error is about.
package scripts

import (
	"crypto/sha256"
	"embed"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/resp"
)

//go:embed *.lua
var sources embed.FS

// Script is one script: constant text, names and values travel as KEYS and ARGV only.
type Script struct {
	Source string
	SHA    string // what EVALSHA calls it
}

// The scripts, each by the name of its file, which begins with what it does and replies.
var (
	Acquire          = script("acquire")
	AcquireFenced    = script("acquire_fenced")
	AcquireRaise     = script("acquire_raise")
	AcquireAll       = script("acquire_all")
	AcquireAllFenced = script("acquire_all_fenced")
	AcquireAllRaise  = script("acquire_all_raise")
	TakeAny          = script("take_any")
	AcquireShared    = script("acquire_shared")
	RenewShared      = script("renew_shared")
	ReleaseShared    = script("release_shared")
	CloseShared      = script("close_shared")
	CountReaders     = script("count_readers")
	Release          = script("release")
	ReleaseMany      = script("release_many")
	ReleaseFenced    = script("release_fenced")
	ReleaseRaise     = script("release_raise")
	Renew            = script("renew")
	RenewFenced      = script("renew_fenced")
	Adopt            = script("adopt")
	Inspect          = script("inspect")
	Enqueue          = script("enqueue")
	KeepPlace        = script("keep_place")
	LeaveQueue       = script("leave_queue")
	LookAtQueue      = script("look_at_queue")
	Proclaim         = script("proclaim")
	Retract          = script("retract")
	LookAtLeader     = script("look_at_leader")

	// All are those that a server must know, but for Loaded.
	All = []Script{
		Acquire, AcquireFenced, AcquireRaise,
		AcquireAll, AcquireAllFenced, AcquireAllRaise,
		TakeAny,
		AcquireShared, RenewShared, ReleaseShared, CloseShared, CountReaders,
		Release, ReleaseMany, ReleaseFenced, ReleaseRaise,
		Renew, RenewFenced,
		Adopt, Inspect,
		Enqueue, KeepPlace, LeaveQueue, LookAtQueue,
		Proclaim, Retract, LookAtLeader,
	}

	// Loaded is loaded behind all the others of this build. Whoever knows it knows them: it takes no keys, and replies 1.
	Loaded = loaded(All)
)

// AppendCall begins the call of a script with so many keys, and as many arguments
// behind them.
func (s Script) AppendCall(out []byte, keys, args int) []byte {
	out = resp.AppendArray(out, 3+keys+args)
	out = append(out, "$7\r\nevalsha\r\n"...)
	out = resp.AppendArg(out, s.SHA)
	return resp.AppendNumber(out, int64(keys))
}

func script(name string) Script {
	source, err := sources.ReadFile(name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("scripts: %s is not embedded: %v", name, err)) // cannot happen: the build embeds it
	}
	return of(string(source))
}

func loaded(all []Script) Script {
	digest := sha256.New()
	for _, s := range all {
		digest.Write([]byte(s.SHA))
	}
	return of(fmt.Sprintf("-- loaded: all scripts are known\nreturn 1 -- %x\n", digest.Sum(nil)))
}

func of(source string) Script { return Script{Source: source, SHA: redis.NewScript(source).Hash()} }
