import { describe } from "vitest";
import { checkProfile, READ_PROFILES } from "./check-profile.ts";
import { PROFILES, type ProfileName } from "./profiles.ts";

const others = (Object.keys(PROFILES) as ProfileName[]).filter((profile) => !READ_PROFILES.includes(profile));

describe.each(others)("%s", checkProfile);
