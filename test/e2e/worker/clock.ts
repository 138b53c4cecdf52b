const realNow = Date.now;
let passedMs = 0;
Date.now = () => realNow() + passedMs;

/** Lets time pass at once, for everything in this isolate that asks what time it is. */
export function advanceClock(ms: number): void {
  passedMs += ms;
}

/** A Durable Object's alarms, which the platform keeps by the real time, by the isolate's. */
export function followClock(storage: DurableObjectStorage): void {
  const [get, set] = [storage.getAlarm.bind(storage), storage.setAlarm.bind(storage)];
  storage.setAlarm = (time) => set(Number(time) - passedMs);
  storage.getAlarm = async () => {
    const time = await get();
    return time === null ? null : time + passedMs;
  };
}
