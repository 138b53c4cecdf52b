import { describe } from "vitest";
import { checkProfile, READING } from "./check-profile.ts";
import { PROFILES, type ProfileName } from "./profiles.ts";

const writing = (Object.keys(PROFILES) as ProfileName[]).filter((profile) => !READING.includes(profile));

describe.each(writing)("%s", checkProfile);
