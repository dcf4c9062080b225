using System.Globalization;
using System.Text.RegularExpressions;
using DistTrain.Kernels;

namespace DistTrain.Runtime;

/// <summary>
/// Checkpoints of one job in a storage, such as a local folder: <c>step-000000000120/</c> with <c>model.safetensors</c>, <c>optimizer.safetensors</c> and, written last, <c>manifest.json</c>. Every file appears
/// whole or not at all; a folder without a good manifest, or with a file that does not fit it, is no checkpoint and is passed over.
/// </summary>
public sealed partial class CheckpointFolder
{
    internal const string ModelFile = "model.safetensors", OptimizerFile = "optimizer.safetensors", ResidualFile = "residual.safetensors";
    private readonly ICheckpointStorage _storage;

    /// <param name="path">A local folder; made when the first checkpoint is written.</param>
    public CheckpointFolder(string path)
        : this(new LocalCheckpointStorage(path))
    {
    }

    /// <param name="storage">Where the checkpoints lie; stays the caller's.</param>
    public CheckpointFolder(ICheckpointStorage storage)
    {
        ArgumentNullException.ThrowIfNull(storage);
        _storage = storage;
    }

    /// <summary>Where it is, for messages.</summary>
    internal string Place => _storage.PlaceOf("");

    /// <summary>Steps of which there is a folder, newest first; whether it is whole shows when it is opened.</summary>
    public IReadOnlyList<long> Steps =>
        [.. Folders().Where(name => StepName().IsMatch(name)).Select(name => long.Parse(name.AsSpan(5), CultureInfo.InvariantCulture)).OrderDescending()];

    /// <summary>The folder of a step's checkpoint, as the storage tells of it: a path where it is local.</summary>
    public string PathOf(long step) => _storage.PlaceOf(FolderOf(step));

    /// <summary>Reads the newest checkpoint whose every byte is as it was written; damaged ones are passed over and told of.</summary>
    /// <param name="say">Told of each damaged checkpoint.</param>
    /// <returns>Its manifest; null if there is none.</returns>
    /// <exception cref="CheckpointException">The newest is of another version of the format or library; or none is whole, and the storage failed while one was read: it may be.</exception>
    public CheckpointManifest? FindNewest(Action<string>? say = null)
    {
        Exception? unread = null;
        foreach (long step in Steps)
        {
            try
            {
                return Verify(step);
            }
            catch (Exception failure) when (failure is CheckpointException { IsOtherVersion: false } or SafetensorsException or IOException or UnauthorizedAccessException)
            {
                if (failure is IOException or UnauthorizedAccessException) unread ??= failure;
                say?.Invoke($"the checkpoint of step {step} is passed over: {failure.Message}");
            }
        }
        return unread is null ? null : throw new CheckpointException($"no checkpoint in {Place} can be read, though there may be a whole one: {unread.Message}; make the folder readable, or begin anew in another", unread);
    }

    /// <summary>Reads a checkpoint's manifest and compares every tensor with its checksum.</summary>
    /// <exception cref="CheckpointException">Something is missing or damaged; the message names file and tensor.</exception>
    public CheckpointManifest Verify(long step)
    {
        CheckpointManifest manifest = ReadManifest(step);
        using CpuDevice host = new("host", InstructionSets.Best, threadCount: 1);
        foreach (string kind in new[] { ModelFile, OptimizerFile, ResidualFile }) PartAssembly.Check(FilesOf(manifest, kind), PathOf(step));
        foreach (CheckpointFile file in manifest.Files) Read(host.DefaultStream, step, file, (_, _) => { });
        return manifest;
    }

    /// <summary>Reads the tensors of one file, or of all replicas' shares of it put together, each compared with its checksum; the caller disposes them.</summary>
    internal Dictionary<string, Tensor> Load(CpuDevice host, CheckpointManifest manifest, string file)
    {
        string place = PathOf(manifest.Position.Step);
        CheckpointFile[] files = FilesOf(manifest, file);
        if (files.Length == 0) throw new CheckpointException($"{place}: its manifest names no {file}");
        PartAssembly.Check(files, place);
        PartAssembly assembly = new(host.DefaultStream);
        try
        {
            foreach (CheckpointFile found in files) Read(host.DefaultStream, manifest.Position.Step, found, (expected, tensor) => assembly.Add(expected, tensor, place));
            return assembly.Tensors;
        }
        catch
        {
            foreach (Tensor tensor in assembly.Tensors.Values) tensor.Dispose();
            throw;
        }
    }

    /// <summary>Reads the tensors of one replica's own file, each compared with its checksum; the caller disposes them.</summary>
    internal Dictionary<string, Tensor> LoadShare(CpuDevice host, CheckpointManifest manifest, string file, int rank)
    {
        string name = new CheckpointShare(rank, manifest.Replicas, Run: 0).NameOf(file), place = PathOf(manifest.Position.Step);
        CheckpointFile own = manifest.Files.FirstOrDefault(found => found.Name == name) ?? throw new CheckpointException($"{place}: its manifest names no {name}");
        PartAssembly assembly = new(host.DefaultStream);
        try
        {
            Read(host.DefaultStream, manifest.Position.Step, own, (expected, tensor) => assembly.Add(expected with { Part = null }, tensor, place));
            return assembly.Tensors;
        }
        catch
        {
            foreach (Tensor tensor in assembly.Tensors.Values) tensor.Dispose();
            throw;
        }
    }

    internal static CheckpointFile[] FilesOf(CheckpointManifest manifest, string file) => [.. manifest.Files.Where(f => f.Name == file || CheckpointShare.IsShareOf(f.Name, file))];

    /// <summary>The checkpoint with the lowest validation loss, by manifests alone, of those up to a step.</summary>
    internal (long Step, double Loss)? FindBest(long last)
    {
        (long Step, double Loss)? best = null;
        foreach (long step in Steps.Where(step => step <= last))
        {
            try
            {
                if (ReadManifest(step).Position.ValidationLoss is { } loss && !double.IsNaN(loss) && (best is null || loss < best.Value.Loss)) best = (step, loss);
            }
            catch (Exception failure) when (failure is CheckpointException or IOException or UnauthorizedAccessException)
            {
                // It can't be the best one; that it is damaged is told of where a run goes on.
            }
        }
        return best;
    }

    /// <summary>Writes a checkpoint; blocks until it is on the disk. If that fails the checkpoints before it are untouched, and what was written of this one is removed if it can be.</summary>
    internal void Write(TrainingPosition position, int replicas, StateSnapshot model, StateSnapshot optimizer)
    {
        try
        {
            WriteFiles(position, replicas, model, optimizer);
        }
        catch
        {
            TryRemove(position.Step);
            throw;
        }
    }

    /// <summary>Takes a step's manifest away, before its files are written again.</summary>
    internal void DeleteManifest(long step) => _storage.Delete($"{FolderOf(step)}/{CheckpointManifest.FileName}");

    /// <summary>
    /// Writes one replica's share of a checkpoint; blocks until it is on the disk. The first replica's call also waits until all shares are there, and writes the manifest. If it fails the
    /// checkpoints before it are untouched; what was written of this one goes with the next.
    /// </summary>
    /// <exception cref="CheckpointException">Other replicas' shares did not come in time.</exception>
    internal void WriteShare(TrainingPosition position, CheckpointShare share, StateSnapshot model, StateSnapshot optimizer, StateSnapshot residuals, IReadOnlyDictionary<string, CheckpointPart>? parts,
        TimeSpan longestWait, Func<bool> isGivenUp)
    {
        string folder = FolderOf(position.Step);
        CheckpointFile[] own = [.. WriteOwn(folder, share, ModelFile, model, parts), .. WriteOwn(folder, share, OptimizerFile, optimizer, parts), .. WriteOwn(folder, share, ResidualFile, residuals, share.RowsOf(residuals.Tensors))];
        CheckpointManifest note = new(CheckpointManifest.CurrentVersion, CheckpointManifest.CurrentCode, share.Count, position, own);
        byte[] bytes = note.ToBytes();
        _storage.Write($"{folder}/{share.NoteOf(share.Rank)}", file => file.Write(bytes));
        if (share.Rank > 0) return;
        long began = System.Diagnostics.Stopwatch.GetTimestamp();
        CheckpointFile[] all = [.. Enumerable.Range(0, share.Count).SelectMany(rank => WaitForNote(position.Step, share, rank, () => System.Diagnostics.Stopwatch.GetElapsedTime(began) > longestWait || isGivenUp()).Files)];
        CheckpointManifest manifest = note with { Files = all };
        foreach (string kind in new[] { ModelFile, ResidualFile }) PartAssembly.Check(FilesOf(manifest, kind), PathOf(position.Step));
        byte[] whole = manifest.ToBytes();
        _storage.Write($"{folder}/{CheckpointManifest.FileName}", file => file.Write(whole));
    }

    // A replica has parts of tensors, or the first one has them whole; nobody writes a file of nothing, but that the first one's optimizer has no state.
    private CheckpointFile[] WriteOwn(string folder, CheckpointShare share, string file, StateSnapshot snapshot, IReadOnlyDictionary<string, CheckpointPart>? parts)
    {
        if (snapshot.Tensors.Count == 0 && (share.Rank > 0 || file == ResidualFile)) return [];
        return [Write(folder, parts is not null && snapshot.Tensors.Keys.Any(parts.ContainsKey) ? share.NameOf(file) : file, snapshot, parts)];
    }

    private CheckpointManifest WaitForNote(long step, CheckpointShare share, int rank, Func<bool> isTooLate)
    {
        string name = $"{FolderOf(step)}/{share.NoteOf(rank)}";
        while (true)
        {
            // Asked before the storage is: what came just in time counts.
            bool isLast = isTooLate();
            using (ICheckpointFile? file = _storage.Open(name))
            {
                if (file is not null) return CheckpointManifest.Read(file, _storage.PlaceOf(name));
            }
            if (isLast) throw new CheckpointException($"the share of replica {rank} of {share.Count} did not come: {_storage.PlaceOf(name)} is missing; all replicas must see the same folder");
            Thread.Sleep(10);
        }
    }

    private void WriteFiles(TrainingPosition position, int replicas, StateSnapshot model, StateSnapshot optimizer)
    {
        string folder = FolderOf(position.Step);
        // The manifest of an earlier try would vouch for files that are about to change.
        DeleteManifest(position.Step);
        CheckpointFile[] files = [Write(folder, ModelFile, model), Write(folder, OptimizerFile, optimizer)];
        CheckpointManifest manifest = new(CheckpointManifest.CurrentVersion, CheckpointManifest.CurrentCode, replicas, position, files);
        byte[] bytes = manifest.ToBytes();
        _storage.Write($"{folder}/{CheckpointManifest.FileName}", file => file.Write(bytes));
    }

    /// <summary>
    /// Removes all but the newest so many whole checkpoints and those named. Whole ones of later steps than the one just written are damaged, or of a run that was given up: they go first, lest
    /// they be gone on from.
    /// </summary>
    internal void Prune(long written, int keepCount, params ReadOnlySpan<long> alsoKept)
    {
        int kept = 0;
        foreach (long step in Steps)
        {
            bool isWhole = HasManifest(step);
            if (step > written)
            {
                // Without manifest it may be another process's work of this moment.
                if (isWhole) Remove(step);
                continue;
            }
            if (alsoKept.Contains(step) || (isWhole && kept++ < keepCount)) continue;
            Remove(step);
        }
    }

    internal CheckpointManifest ReadManifest(long step)
    {
        string name = $"{FolderOf(step)}/{CheckpointManifest.FileName}", path = _storage.PlaceOf(name);
        using ICheckpointFile file = _storage.Open(name) ?? throw new CheckpointException($"{path} is missing: the checkpoint was not finished");
        CheckpointManifest manifest = CheckpointManifest.Read(file, path);
        return manifest.Position.Step == step ? manifest : throw new CheckpointException($"{path}: it belongs to step {manifest.Position.Step}: the folder was renamed");
    }

    private static string FolderOf(long step) => $"step-{step.ToString("d12", CultureInfo.InvariantCulture)}";

    private IReadOnlyList<string> Folders()
    {
        try
        {
            return _storage.ListFolders();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new CheckpointException($"the checkpoints in {Place} can't be listed: {failure.Message}", failure);
        }
    }

    // Half a checkpoint is of no use, and would take up the room that the next one needs.
    private void TryRemove(long step)
    {
        try
        {
            Remove(step);
        }
#pragma warning disable CA1031 // What made the writing fail is the news, not that the storage does not remove either.
        catch
#pragma warning restore CA1031
        {
            // It is without manifest: no checkpoint. It goes when a later one is written.
        }
    }

    private bool HasManifest(long step)
    {
        using ICheckpointFile? file = _storage.Open($"{FolderOf(step)}/{CheckpointManifest.FileName}");
        return file is not null;
    }

    private CheckpointFile Write(string folder, string name, StateSnapshot snapshot, IReadOnlyDictionary<string, CheckpointPart>? parts = null)
    {
        (Action<Stream> write, long byteCount) = SafetensorsWriter.Prepare(snapshot.Stream, snapshot.Tensors);
        _storage.Write($"{folder}/{name}", write);
        return new CheckpointFile(name, byteCount, snapshot.Checksums(parts));
    }

    private void Read(ExecutionStream stream, long step, CheckpointFile file, Action<CheckpointTensor, Tensor> take)
    {
        if (file.Name != Path.GetFileName(file.Name)) throw new CheckpointException($"{PathOf(step)}: its manifest names '{file.Name}', which is no file name");
        string name = $"{FolderOf(step)}/{file.Name}", path = _storage.PlaceOf(name);
        using ICheckpointFile content = _storage.Open(name) ?? throw new CheckpointException($"{path} is missing");
        if (content.ByteCount != file.ByteCount) throw new CheckpointException($"{path} has {content.ByteCount:N0} bytes, {file.ByteCount:N0} were written: damaged");
        using SafetensorsReader reader = SafetensorsReader.Open(path, content);
        if (reader.Entries.Count != file.Tensors.Count) throw new CheckpointException($"{path} has {reader.Entries.Count} tensors, {file.Tensors.Count} were written");
        foreach (CheckpointTensor expected in file.Tensors)
        {
            using Tensor tensor = reader.Load(stream, expected.Name);
            uint found = StateSnapshot.ChecksumOf(tensor);
            if (found != expected.Crc32C) throw new CheckpointException($"{path}, tensor '{expected.Name}': CRC-32C {found:x8}, {expected.Crc32C:x8} was written: damaged");
            take(expected, tensor);
        }
    }

    internal void Remove(long step)
    {
        // First the manifest: half removed, it is no checkpoint any more.
        _storage.Delete($"{FolderOf(step)}/{CheckpointManifest.FileName}");
        _storage.DeleteFolder(FolderOf(step));
    }

    [GeneratedRegex(@"^step-\d{12,18}$")]
    private static partial Regex StepName();
}
