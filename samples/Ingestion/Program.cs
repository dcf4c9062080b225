// Writes the digits as tf.train.Examples into TFRecord files, then reads them back shuffled, sharded and batched, breaking off in the middle.
using System.Buffers;
using DistTrain.Ingest;
using DistTrain.Kernels;
using DistTrain.Runtime;

const int Rank = 0, WorldSize = 2;
LabelledImages digits = new DataSetCatalog().Load("digits", DataSplit.Train);
for (int file = 0; file < 4; file++) WriteShard($"digits-{file}.tfrecord", file);

InputScale scale = InputScale.Unit(digits);
ExampleSchema schema = new(FeatureSpec.Bytes("pixels"), FeatureSpec.Int64("label"));
BatchLayout layout = BatchLayout.Empty.With("images", ElementType.Float32, 1, 8, 8).With("labels", ElementType.Int32);

Dataset<TensorBatch> batches = Dataset.FromTFRecord("digits-*.tfrecord") // records are slices of the memory they were read into
    .GlobalShuffle(seed: 1)                                              // the whole set, in constant memory
    .Shard(Rank, WorldSize)                                              // this rank's part; the others' records are never read
    .Repeat(2)                                                           // epochs, each in an order of its own
    .Batch(32, layout, (record, row) =>                                  // parsed in place; conversion and scaling are the one copy
    {
        ParsedExample example = schema.Parse(record.Span, stackalloc FeatureSlot[schema.Count], record.Source);
        row.Write(0, example.GetBytes(0), scale);
        row.Write(1, (int)example.GetInt64(1));
    });

using ComputeDevice device = DeviceCatalog.Open("cpu");
Dataset<DeviceBatch> pipeline = batches.PrefetchTo(device);              // assembled, and copied to the device, ahead of the training

IteratorState saved;
int before = 0, after = 0;
using (DatasetIterator<DeviceBatch> run = pipeline.Iterate())
{
    while (before < 10 && run.TryNext(out DeviceBatch? batch)) using (batch) before++;
    saved = run.Save();                                                  // belongs into the checkpoint
}
using (DatasetIterator<DeviceBatch> run = pipeline.Iterate())
{
    run.Restore(saved);                                                  // the next batch is the one that would have come
    while (run.TryNext(out DeviceBatch? batch)) using (batch) after++;
    Console.WriteLine(run.Explain());
}
Console.WriteLine($"{before} batches, broken off, {after} more");

using Strategy strategy = new MirroredStrategy([DeviceCatalog.Open("cpu:0/2"), DeviceCatalog.Open("cpu:1/2")], ownsDevices: true);
IBatchSource source = DatasetBatchSource.FromFiles(
    ["digits-0.tfrecord", "digits-1.tfrecord", "digits-2.tfrecord", "digits-3.tfrecord"],
    files => Dataset.FromTFRecord(files).GlobalShuffle(seed: 1),         // an epoch's samples of these files: all, or a replica's
    (samples, rows) => samples.Batch(rows, layout, (record, row) =>
    {
        ParsedExample example = schema.Parse(record.Span, stackalloc FeatureSlot[schema.Count], record.Source);
        row.Write(0, example.GetBytes(0), scale);
        row.Write(1, (int)example.GetInt64(1));
    }), batchSize: 64, strategy.ReplicaCount, inputs: "images", labels: "labels");
int[] counts = strategy.Run(replica =>
{
    int count = 0;
    using IBatchFeed feed = source.Open(replica.Stream, epochCount: 1, shard: replica.Shard);
    for (int step = 0; step < source.BatchCount; step++) using (Batch own = feed.Next()) count += own.Count;
    return count;
});
Console.WriteLine($"{source.BatchCount} steps of two replicas, which read {counts[0]} and {counts[1]} samples of their own files");

void WriteShard(string path, int shard)
{
    using TFRecordWriter writer = new(File.Create(path));
    ExampleWriter example = new();
    ArrayBufferWriter<byte> bytes = new();
    for (int i = shard; i < digits.Count; i += 4)
    {
        example.Clear();
        bytes.ResetWrittenCount();
        example.AddBytes("pixels"u8, digits.Sample(i));
        example.Add("label"u8, (long)digits.Labels[i]);
        example.WriteTo(bytes);
        writer.Write(bytes.WrittenSpan);
    }
}
