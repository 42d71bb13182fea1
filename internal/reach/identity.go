package reach

import (
	"bufio"
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/holdfast-go/holdfast/internal/clock"
	"github.com/holdfast-go/holdfast/internal/fault"
	"github.com/holdfast-go/holdfast/internal/restart"
)

// ErrReplica begins as a server's own word does.
var ErrReplica = errors.New("READONLY: the server is a replica, and only a master can vote")

// WhoIs asks a server who it is. Where INFO is not permitted nothing is known, and that
// is no error; that it is no master is one.
func WhoIs(ctx context.Context, conn *redis.Conn) (restart.Sighting, error) {
	pipe := conn.Pipeline()
	server := pipe.Info(ctx, "server")
	replication := pipe.Info(ctx, "replication")
	if _, err := pipe.Exec(ctx); err != nil && !fault.IsServerError(err) {
		return restart.Sighting{}, err
	}
	return ReadInfo(server.Val(), replication.Val())
}

// ReadInfo reads two sections of INFO. A server that does not permit it can vote, but not be guarded.
func ReadInfo(server, replication string) (restart.Sighting, error) {
	info := infoFields(server)
	seen := restart.Sighting{RunID: info["run_id"], Uptime: -1, At: time.Now()}
	if seconds, err := strconv.ParseInt(info["uptime_in_seconds"], 10, 64); err == nil {
		seen.Uptime = clock.Units(seconds, time.Second)
	}
	info = infoFields(replication)
	if role := info["role"]; role != "" && role != "master" {
		return seen, ErrReplica
	}
	seen.History = info["master_replid"]
	seen.Promoted = strings.Trim(info["master_replid2"], "0") != ""
	return seen, nil
}

// ReadPause reads from INFO's section clients why the server carries out no writes, "" if it does or does not say.
func ReadPause(clients string) (reason string) {
	info := infoFields(clients)
	if actions := info["paused_actions"]; actions == "" || actions == "none" {
		return ""
	}
	return info["paused_reason"]
}

// isCluster reports whether INFO server is a cluster's node's.
func isCluster(server string) bool {
	info := infoFields(server)
	return info["redis_mode"] == "cluster" || info["server_mode"] == "cluster" // as Valkey has it
}

// infoFields reads the lines of an INFO section.
func infoFields(info string) map[string]string {
	m := make(map[string]string)
	lines := bufio.NewScanner(strings.NewReader(info))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok {
			m[key] = strings.TrimSpace(value)
		}
	}
	return m
}
