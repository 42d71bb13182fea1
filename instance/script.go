package instance

import (
	"bytes"
	"embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/resp"
)

//go:embed lua/*.lua
var sources embed.FS

// lua is one script: constant text, names and values travel as KEYS and ARGV only.
type lua struct {
	source string
	sha    string // what EVALSHA calls it
}

var (
	acquireScript       = script("acquire")
	acquireFencedScript = script("acquire_fenced")
	releaseScript       = script("release")
	releaseManyScript   = script("release_many")
	releaseFencedScript = script("release_fenced")
	renewScript         = script("renew")
	renewFencedScript   = script("renew_fenced")
	adoptScript         = script("adopt")
	inspectScript       = script("inspect")

	scripts = []lua{
		acquireScript, acquireFencedScript,
		releaseScript, releaseManyScript, releaseFencedScript,
		renewScript, renewFencedScript,
		adoptScript, inspectScript,
	}
)

// appendScript begins the call of a script with the given keys, and as many
// arguments behind them.
func appendScript(out []byte, s lua, keys, args int) []byte {
	out = resp.AppendArray(out, 3+keys+args)
	out = append(out, "$7\r\nevalsha\r\n"...)
	out = resp.AppendArg(out, s.sha)
	return resp.AppendNumber(out, int64(keys))
}

func script(name string) lua {
	source, err := sources.ReadFile("lua/" + name + ".lua")
	if err != nil {
		panic(fmt.Sprintf("instance: script %s is not embedded: %v", name, err)) // cannot happen: the build embeds it
	}
	return lua{source: string(source), sha: redis.NewScript(string(source)).Hash()}
}

// isNoScript: the server has forgotten our scripts.
func isNoScript(r *resp.Reply) bool {
	return r.Kind == resp.Error && bytes.HasPrefix(r.Text, []byte("NOSCRIPT"))
}

var errForgetful = errors.New("the server forgets the lock scripts as soon as they are loaded")
