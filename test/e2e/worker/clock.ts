const realNow = Date.now;
let aheadMs = 0;
Date.now = () => realNow() + aheadMs;

/** Moves the clock of this isolate forward. */
export function advanceClock(ms: number): void {
  aheadMs += ms;
}

/** Makes alarms follow the clock of this isolate. The platform runs them by the real time. */
export function followClock(storage: DurableObjectStorage): void {
  const [get, set] = [storage.getAlarm.bind(storage), storage.setAlarm.bind(storage)];
  storage.setAlarm = (time) => set(Number(time) - aheadMs);
  storage.getAlarm = async () => {
    const time = await get();
    return time === null ? null : time + aheadMs;
  };
}
