package reach

import "testing"

func TestINFOIsRead(t *testing.T) {
	info := infoFields("# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nconfig_file:C:/x\r\n\r\njunk\r\n")
	if info["redis_version"] != "7.0.15" || info["run_id"] != "abc" || info["config_file"] != "C:/x" || len(info) != 3 {
		t.Errorf("got %q, want the three fields and nothing more", info)
	}
}
