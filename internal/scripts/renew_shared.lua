-- renew shared: let each reader that is in stay for at least its TTL from now.
-- KEYS for each lease: lock, readers    ARGV for each lease: token, TTL in ms
-- Replies this server's clock in µs, and then for each lease: how many ms it had left if it is in, -1 it is not, -2 somebody
-- has the lock alone, or the error's text, so that one bad key does not cost the others their renewal.
-- A life is never shortened: a longer extension may have come before. Nor does a reader that stays prolong another's.
local clock = redis.call('TIME')
local micros = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local now = math.floor(micros / 1000)
local votes = {micros}
for i = 1, #KEYS / 2 do
  local lock, readers, token, ttl = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i - 1], tonumber(ARGV[2 * i])
  -- No more of a value is read than a token can have, and one byte: it may be somebody else's, and huge.
  local holder = redis.pcall('GETRANGE', lock, '0', '1024')
  if holder == '' or type(holder) == 'table' then -- nothing is there, or GETRANGE is not permitted
    holder = redis.pcall('GET', lock)
  end
  local ends = holder == '~shared' and redis.pcall('ZSCORE', readers, token)
  if type(holder) == 'table' then
    votes[i + 1] = holder.err
  elseif type(ends) == 'table' then
    votes[i + 1] = ends.err
  elseif holder == '~shared' then
    ends = tonumber(ends or 0)
    if ends > now then
      votes[i + 1] = ends - now
      if ends < now + ttl then
        redis.call('ZADD', readers, now + ttl, token)
      end
      local left = redis.call('PTTL', lock)
      if left >= 0 and left < ttl then
        redis.call('PEXPIRE', lock, ttl)
        redis.call('PEXPIRE', readers, ttl)
      end
    else
      votes[i + 1] = -1
    end
  else
    votes[i + 1] = holder and -2 or -1
  end
end
return votes
