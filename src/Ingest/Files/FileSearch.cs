namespace DistTrain.Ingest;

/// <summary>Finds the files that patterns stand for.</summary>
internal static class FileSearch
{
    private static readonly EnumerationOptions s_everything = new() { AttributesToSkip = 0, MatchType = MatchType.Simple };

    /// <summary>
    /// The files of all <paramref name="patterns"/>, each once, in ordinal order of their paths, which are spelled as the pattern begins. A path that exists
    /// as it stands is taken as it stands, wildcards or not. Each alternative of a brace must match something.
    /// </summary>
    /// <exception cref="IngestException">A pattern matches no file, or a folder can't be read.</exception>
    internal static List<string> Find(string operatorName, IEnumerable<string> patterns)
    {
        ArgumentNullException.ThrowIfNull(patterns);
        HashSet<string> found = new(StringComparer.Ordinal);
        bool any = false;
        foreach (string pattern in patterns)
        {
            any = true;
            ArgumentException.ThrowIfNullOrEmpty(pattern, nameof(patterns));
            AddMatches(operatorName, pattern, found);
        }
        if (!any) throw new IngestException(operatorName, -1, SourceLocation.None, "no file pattern was given");
        List<string> files = [.. found];
        files.Sort(StringComparer.Ordinal);
        return files;
    }

    /// <summary>
    /// The files that a source was given, in that order: plain paths as they stand (a missing one is found when it is opened), entries with wildcards or
    /// braces replaced by the files they match.
    /// </summary>
    /// <exception cref="IngestException">A pattern matches no file, or there is no entry.</exception>
    internal static List<string> Resolve(string operatorName, IEnumerable<string> entries)
    {
        ArgumentNullException.ThrowIfNull(entries);
        List<string> files = [];
        foreach (string entry in entries)
        {
            ArgumentException.ThrowIfNullOrEmpty(entry, nameof(entries));
            bool isPattern = (NamePattern.HasWildcard(entry) || entry.Contains('{')) && !entry.Contains("://", StringComparison.Ordinal) && !File.Exists(entry);
            if (isPattern) files.AddRange(Find(operatorName, [entry]));
            else if (entry.Contains("://", StringComparison.Ordinal)) files.AddRange(BraceExpansion.Expand(entry));
            else files.Add(entry);
        }
        return files.Count > 0 ? files : throw new IngestException(operatorName, -1, SourceLocation.None, "no file was given");
    }

    private static void AddMatches(string operatorName, string pattern, HashSet<string> found)
    {
        if (HttpByteSource.IsAddress(pattern))
        {
            if (pattern.Contains('*', StringComparison.Ordinal))
                throw new IngestException(operatorName, -1, new SourceLocation(ByteSource.NameOf(pattern)), "a server's files can't be listed: give their addresses, e.g. with {000..015}");
            found.UnionWith(BraceExpansion.Expand(pattern));
            return;
        }
        if (File.Exists(pattern))
        {
            found.Add(pattern);
            return;
        }
        List<string> expanded = BraceExpansion.Expand(pattern);
        foreach (string path in expanded)
        {
            HashSet<string> matches = new(StringComparer.Ordinal);
            try
            {
                new Walk(path, matches).Start();
            }
            catch (Exception e) when (e is UnauthorizedAccessException or IOException)
            {
                throw new IngestException(operatorName, -1, SourceLocation.None, $"the files of '{path}' can't be listed: {e.Message}", e);
            }
            if (matches.Count == 0) throw NothingFound(operatorName, pattern, path, expanded.Count);
            found.UnionWith(matches);
        }
    }

    private static IngestException NothingFound(string operatorName, string pattern, string path, int alternatives)
    {
        string folder = Path.GetFullPath(FixedFolder(path));
        string searched = Directory.Exists(folder) ? $"searched {folder}" : $"the folder {folder} does not exist";
        string named = pattern == path ? $"'{path}'" : $"'{path}', one of the {alternatives:N0} that '{pattern}' stands for";
        string advice = Directory.Exists(path) ? $"; it is a folder: write '{Path.Join(path, "*")}' for the files in it" : "";
        return new IngestException(operatorName, -1, SourceLocation.None, $"no file matches {named}: {searched}{advice}");
    }

    // What stands before the first part with a wildcard.
    private static string FixedFolder(string path)
    {
        int wildcard = path.AsSpan().IndexOfAny('*', '?', '[');
        string start = wildcard < 0 ? path : path[..wildcard];
        int separator = start.AsSpan().LastIndexOfAny(Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar);
        return separator < 0 ? "." : start[..(separator + 1)];
    }

    private sealed class Walk
    {
        private readonly HashSet<string> _found;
        private readonly List<string> _parts = [];
        private readonly string _root;

        internal Walk(string path, HashSet<string> found)
        {
            _found = found;
            _root = Path.GetPathRoot(path) ?? "";
            foreach (string part in path[_root.Length..].Split([Path.DirectorySeparatorChar, Path.AltDirectorySeparatorChar], StringSplitOptions.RemoveEmptyEntries))
                // Two "**" in a row match what one does, in far more ways.
                if (part != "**" || _parts.Count == 0 || _parts[^1] != "**") _parts.Add(part);
            if (_parts.Count > 0 && _parts[^1] == "**") _parts.Add("*");
        }

        internal void Start() => Visit(_root, 0);

        private void Visit(string folder, int index)
        {
            if (index == _parts.Count) return;
            string part = _parts[index];
            bool isLast = index == _parts.Count - 1;
            if (part == "**") VisitDeep(folder, index);
            else if (!NamePattern.HasWildcard(part) || Exists(Path.Join(folder, part), isLast)) VisitFixed(Path.Join(folder, part), index, isLast);
            else VisitMatches(folder, part, index, isLast);
        }

        private void VisitFixed(string path, int index, bool isLast)
        {
            if (!isLast) Visit(path, index + 1);
            else if (File.Exists(path)) _found.Add(path);
        }

        private void VisitMatches(string folder, string part, int index, bool isLast)
        {
            foreach (FileSystemInfo entry in Entries(folder))
            {
                if (!NamePattern.Matches(part, entry.Name) || (IsIndex(entry.Name) && !IsIndex(part))) continue;
                string path = Path.Join(folder, entry.Name);
                if (!isLast && Directory.Exists(path)) Visit(path, index + 1);
                else if (isLast && File.Exists(path)) _found.Add(path);
            }
        }

        // Links to folders are not followed here: they may lead in circles.
        private void VisitDeep(string folder, int index)
        {
            Visit(folder, index + 1);
            foreach (FileSystemInfo entry in Entries(folder))
                if (entry is DirectoryInfo && entry.LinkTarget is null && !entry.Name.StartsWith('.')) VisitDeep(Path.Join(folder, entry.Name), index);
        }

        // Indices are kept beside the data and are none.
        private static bool IsIndex(string name) => name.EndsWith(RecordIndexFile.Extension, StringComparison.Ordinal);

        private static bool Exists(string path, bool isLast) => isLast ? File.Exists(path) : Directory.Exists(path);

        private static IEnumerable<FileSystemInfo> Entries(string folder)
        {
            DirectoryInfo directory = new(folder.Length == 0 ? "." : folder);
            return directory.Exists ? directory.EnumerateFileSystemInfos("*", s_everything) : [];
        }
    }
}
