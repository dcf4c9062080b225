using DistTrain.Ingest;

namespace DistTrain.Bench;

/// <summary>Files that cases read: written once for each shape, gone when the program ends. Just written, they lie in the page cache.</summary>
public static class BenchFile
{
    private static readonly Dictionary<(int, int), string> s_files = [];
    private static readonly Lazy<string> s_folder = new(CreateFolder);

    /// <summary>A TFRecord file of so many records of random bytes.</summary>
    public static string TFRecord(int recordByteCount, int recordCount)
    {
        lock (s_files)
        {
            if (s_files.TryGetValue((recordByteCount, recordCount), out string? known)) return known;
            string path = Path.Combine(s_folder.Value, $"{recordCount}x{recordByteCount}.tfrecord");
            byte[] record = new byte[recordByteCount];
            Random random = new(1);
            using (FileStream stream = new(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 20))
            using (TFRecordWriter writer = new(stream))
            {
                for (int i = 0; i < recordCount; i++)
                {
                    random.NextBytes(record);
                    writer.Write(record);
                }
            }
            return s_files[(recordByteCount, recordCount)] = path;
        }
    }

    private static string CreateFolder()
    {
        string folder = Directory.CreateTempSubdirectory("disttrain-bench-").FullName;
        AppDomain.CurrentDomain.ProcessExit += (_, _) => Directory.Delete(folder, recursive: true);
        return folder;
    }
}
